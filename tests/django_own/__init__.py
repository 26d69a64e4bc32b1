"""Django's own tests of sessions and sign-in, run against our engines; see ``source.py`` for where they come from."""
