"""Configure Sphinx."""

from importlib.metadata import version as installed_version

project = "django-srvsession"
author = "django-srvsession contributors"
copyright = author
release = version = installed_version("django-srvsession")

extensions: list[str] = []
exclude_patterns = ["_build"]
nitpicky = True
html_theme = "alabaster"
html_static_path = ["_static"]
html_theme_options = {"description": "Sessions you can see, end and trust"}
