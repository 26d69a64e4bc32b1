"""A site whose people sign in with an e-mail address, and have no name."""
