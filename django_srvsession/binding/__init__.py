"""Bind a session to the device that signed in, so that a copied cookie opens nothing."""
