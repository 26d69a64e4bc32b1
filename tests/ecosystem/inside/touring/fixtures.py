"""The fixtures of tours."""

import pytest

from touring.serving import Site


@pytest.fixture(scope="module")
def site(request, tmp_path_factory):
    """The site, migrated and started; a tour's own class ``Server`` says how it is served."""
    kind = getattr(request.module, "Server", Site)
    site = kind(tmp_path_factory.mktemp("site"))
    site.prepare()
    site.start()
    yield site
    site.stop()


@pytest.fixture
def browser(site):
    """A new browser."""
    return site.browser()
