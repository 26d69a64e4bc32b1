"""The tour that this process is about, as a module: the site needs its settings and pages, and none of its tests."""

import importlib.util
import os
import sys

# By its path: a tour is called as the package that it is about.
spec = importlib.util.spec_from_file_location("the_tour", os.environ["SRVSESSION_ECOSYSTEM_TOUR"])
module = sys.modules["the_tour"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)


def part(name, default):
    """Return what a tour has defined under a name, or the default."""
    return getattr(module, name, default)
