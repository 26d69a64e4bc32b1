"""The live site on the servers that speak ASGI."""

from __future__ import annotations

from typing import Any

from tests.processes import Site, Visitor


class LiveSite(Site):
    """The site of ``tests.live.site`` in one process."""

    store = ""
    tells_reason = True
    """Whether the server passes on why a WebSocket is closed."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(workers=1, **settings)

    def visitor(self, user: str = "") -> Visitor:
        """Return a browser, signed in or not."""
        visitor = Visitor(self.url)
        if user:
            assert visitor.get("/login/", user=user).status == 200
        return visitor


class Uvicorn(LiveSite):
    """Uvicorn."""

    def command(self, descriptor: int) -> list[str]:
        quiet = ["--log-level=warning", "--no-access-log", "--lifespan=off", "--ws=wsproto"]
        return ["uvicorn", "tests.live.site:application", f"--fd={descriptor}", *quiet]


class Daphne(LiveSite):
    """Daphne."""

    tells_reason = False

    def command(self, descriptor: int) -> list[str]:
        return ["daphne", "--fd", str(descriptor), "--verbosity=0", "tests.live.site:application"]


KINDS: dict[str, type[LiveSite]] = {"uvicorn": Uvicorn, "daphne": Daphne}
