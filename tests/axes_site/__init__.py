"""A site with django-axes, as its documentation has it."""
