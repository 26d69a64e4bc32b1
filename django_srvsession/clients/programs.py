"""Which program a user agent names: a browser, an app, or a library; as its makers call it.

A table of words, since people are told what they know: the ones below are what people use (``docs/why/design.rst`` says
how many that are, and what a parser of every program would cost). What is not in it is found by its form: an app that
wraps a page, or that speaks for itself.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Name = str | Promise
"""A name of its own, or one to be translated when it is shown."""

_TABLE: Final = """
    KAKAOTALK=KakaoTalk; NAVER=NAVER; DaumApps=Daum; BAND=BAND; Line=LINE; MicroMessenger=WeChat; WhatsApp=WhatsApp
    Instagram=Instagram; Barcelona=Threads; MessengerForiOS=Messenger; Orca-Android=Messenger
    FBAN=Facebook; FBAV=Facebook; FB_IAB=Facebook; Twitter=X; TwitterAndroid=X; LinkedInApp=LinkedIn
    BytedanceWebview=TikTok; musical_ly=TikTok; trill=TikTok; Snapchat=Snapchat; Pinterest=Pinterest; GSA=Google
    Edg=Edge; EdgA=Edge; EdgiOS=Edge; Edge=Edge; OPR=Opera; OPT=Opera; OPX=Opera; OPiOS=Opera; Opera=Opera
    SamsungBrowser=Samsung Internet; Whale=Whale; YaBrowser=Yandex Browser; Vivaldi=Vivaldi; Brave=Brave
    DuckDuckGo=DuckDuckGo; Ddg=DuckDuckGo; UCBrowser=UC Browser; MiuiBrowser=Mi Browser; HuaweiBrowser=Huawei Browser
    HeyTapBrowser=HeyTap Browser; VivoBrowser=vivo Browser; MQQBrowser=QQ Browser; QQBrowser=QQ Browser
    Silk=Amazon Silk; Ecosia=Ecosia; AvastSecureBrowser=Avast Secure Browser; Focus=Firefox Focus; Klar=Firefox Klar
    SeaMonkey=SeaMonkey; PaleMoon=Pale Moon; Waterfox=Waterfox; FxiOS=Firefox; Firefox=Firefox; Epiphany=GNOME Web
    CriOS=Chrome; HeadlessChrome=Chrome; Chromium=Chromium; Chrome=Chrome
    Trident=Internet Explorer; MSIE=Internet Explorer
"""
_KNOWN: Final = {
    word: name for word, _, name in (pair.strip().partition("=") for pair in re.split(r"[;\n]", _TABLE) if pair.strip())
}
"""What each word in a user agent says, the one that counts first: Edge says Chrome too, and Chrome says Safari."""

_LIBRARIES: Final = frozenset(
    """
    aiohttp alamofire apache-httpclient apache-httpasyncclient axios bun cfnetwork curl dalvik dart deno faraday
    go-http-client got guzzlehttp http-client httpie insomnia java java-http-client jakarta ktor-client libwww-perl
    lwp-trivial node node-fetch node.js okhttp php postmanruntime powershell python python-httpx python-requests
    python-urllib python-urllib3 reqwest restsharp rest-client ruby scrapy symfony undici unirest-java wget winhttp
    """.split()
)
_ENGINES: Final = frozenset("Mozilla AppleWebKit Version Chrome Mobile Safari Build Gecko Presto".split())

_WORD: Final = re.compile(r"[A-Za-z][\w-]*", re.ASCII)
_APP: Final = re.compile(r"(?P<name>[A-Za-z][\w.%-]{0,59})(?:/v?(?P<version>[\d.]+))?(?![\w/])", re.ASCII)
_PRODUCT: Final = re.compile(r"(?<![\w./-])" + _APP.pattern, re.ASCII)
_VERSION: Final = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)(?:\.|$)", re.ASCII)
_BOT_NAME: Final = re.compile(r"[A-Za-z][\w-]{0,29}?(?:bot|crawler|spider)\b", re.ASCII | re.IGNORECASE)
_MOST_LETTERS: Final = 30

OTHER_APPS: Final = _("Other apps")
APP: Final = _("App")
BOT: Final = _("Bot")


def program_of(user_agent: str, is_apple: bool) -> Name:
    """Return the name of the program; empty for one that is not recognised.

    ``is_apple``: it says that it runs on a device of Apple's, where "Safari" means Safari.
    """
    words = dict.fromkeys(_WORD.findall(user_agent))
    known = next((name for word, name in _KNOWN.items() if word in words), "")
    if not user_agent.startswith("Mozilla/"):
        return known or _app(user_agent)
    wraps = "; wv)" in user_agent or (is_apple and "AppleWebKit" in words and not {"Version", "Safari"} & words.keys())
    if wraps and known in ("", "Chrome"):
        return _wrapping_app(user_agent)
    return known or ("Safari" if is_apple and {"Version", "Safari"} <= words.keys() else "")


def app_name(user_agent: str) -> Name:
    """Return the name of what is known to be an app; "App" where it speaks as a browser or a library does."""
    if user_agent.startswith("Mozilla/"):
        return _wrapping_app(user_agent, frozenset(_KNOWN))
    name = _app(user_agent)
    return APP if name in ("", OTHER_APPS) else name


def bot_name(user_agent: str) -> Name:
    """Return what a bot calls itself."""
    found = _BOT_NAME.search(user_agent)
    return BOT if found is None else found[0]


def _app(user_agent: str) -> Name:
    """Return the name of an app that speaks for itself: "MyApp/2.3 (iPhone; iOS 17.5)"."""
    found = _APP.match(user_agent)
    if found is None:
        return ""
    if found["name"].lower() in _LIBRARIES:
        return OTHER_APPS
    return _named(found) if found["version"] else ""


def _wrapping_app(user_agent: str, browsers: frozenset[str] = frozenset()) -> Name:
    """Return the name of an app that shows pages in a frame of its own: it adds its name at the end, or none."""
    others = _ENGINES | browsers
    found = [one for one in _PRODUCT.finditer(user_agent) if one["version"] and one["name"] not in others]
    return (_named(found[-1]) if found else "") or APP


def _named(found: re.Match[str]) -> str:
    """Return name and version, "MyApp 2.3"; without what would read as an address: of a name with dots its last part.

    A number of builds is no version that people know.
    """
    letters = re.sub(r"[^A-Za-z0-9 _-]", "", unquote(found["name"]).rpartition(".")[2])
    name, version = " ".join(letters[:_MOST_LETTERS].split()), _VERSION.match(found["version"])
    return f"{name} {version[1]}" if name and version else name
