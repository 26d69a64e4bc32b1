"""The documentation, tried out: its blocks of code are run, its pages are built and looked at in a browser."""
