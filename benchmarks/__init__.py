"""Our engines beside Django's, side by side in one run: ``make bench``."""
