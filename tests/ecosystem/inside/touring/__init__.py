"""What tours are made of: a site in a server process of its own, and browsers that visit it.

It runs in the environment of the package that the tour is about: beside that, only Django and pytest are there.
"""

from touring.browsing import Answer, Browser
from touring.serving import Site

__all__ = ["Answer", "Browser", "Site"]
