"""What axe-core finds on a page."""

from __future__ import annotations

from tests.browser.browsers import Browser
from tests.browser.npm import AXE, path_of

_RUN = """
const done = arguments[arguments.length - 1];
const settled = Promise.allSettled(document.getAnimations().map((animation) => animation.finished));
settled.then(() => axe.run(arguments[0], { resultTypes: ["violations"] })).then(
  (found) => done(found.violations.map((rule) => rule.id + ": " + rule.nodes.map((node) => node.html).join(" | "))),
  (error) => done(["axe failed: " + error]),
);
"""


def violations(browser: Browser, within: str = "html") -> list[str]:
    """Return every rule that the page, or a part of it, breaks, with the elements that break it."""
    if not browser.run("return typeof axe === 'object'"):
        browser.run(path_of(AXE).read_text())
    return [str(line) for line in browser.remote.execute_async_script(_RUN, within)]
