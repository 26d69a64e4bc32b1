"""Signing in, confirming who one is, and what becomes of an account's sessions when it changes."""
