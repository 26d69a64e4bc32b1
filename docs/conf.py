"""Configure Sphinx. The build needs no network; where there is one, names of Python and Django become links."""

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from urllib.request import urlopen

import django

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

project = "django-srvsession"
author = "django-srvsession contributors"
copyright = author
release = version = installed_version("django-srvsession")

# What is documented from the code is imported, as on a site.
os.environ["DJANGO_SETTINGS_MODULE"] = "docs_settings"
sys.path.insert(0, str(HERE))
django.setup()

extensions = ["sphinx.ext.autodoc", "sphinx_copybutton"]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
exclude_patterns = ["_build"]
nitpicky = True
# What only other documentation has; our own names must be found.
nitpick_ignore_regex = [("py:.*", r"(?!django_srvsession\.).*|.*\.(Unset|Face)")]
html_title = "django-srvsession"
html_theme = "furo"
pygments_style = "friendly"
pygments_dark_style = "github-dark"
html_static_path = ["_static"]
html_css_files = ["docs.css"]
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = "$ "  # What is copied begins behind it.
copybutton_only_copy_prompt_lines = False

INVENTORIES = {
    "python": ("https://docs.python.org/3/", "objects.inv"),
    "django": ("https://docs.djangoproject.com/en/stable/", "_objects/"),
}


def _reachable() -> dict[str, tuple[str, str]]:
    """Return the inventories that can be had, each as a file: what is fetched once cannot fail later in the build."""
    found: dict[str, tuple[str, str]] = {}
    if os.environ.get("SRVSESSION_DOCS_OFFLINE"):
        return found
    for name, (site, path) in INVENTORIES.items():
        file = HERE / "_build" / "inventories" / f"{name}.inv"
        try:
            with urlopen(site + path, timeout=3) as answer:  # noqa: S310 - the addresses stand above
                content = answer.read()
        except OSError:
            continue
        if not content.startswith(b"# Sphinx inventory"):
            continue  # A network that answers for others.
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        found[name] = (site, str(file))
    return found


intersphinx_mapping = _reachable()
if intersphinx_mapping:
    extensions.append("sphinx.ext.intersphinx")
