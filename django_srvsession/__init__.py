"""Server-side sessions for Django that people can see, end and trust."""

__version__ = "0.1.0"
