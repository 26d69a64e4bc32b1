"""A site that moves from django-user-sessions, or django-qsessions, in a process of its own: their apps have models."""
