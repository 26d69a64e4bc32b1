"""The house is what its pages say: the picture, the settings, and the paths that sites write down."""

from __future__ import annotations

import re
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, Union, get_args, get_origin

import pytest
from django.test import override_settings

from django_srvsession import conf

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "reference" / "settings.rst").read_text()

WORDS = {
    "duration": "seconds or timedelta",
    "duration or None": "seconds, timedelta or None",
    "count": "whole number above 0",
    "count or None": "whole number above 0, or None",
    "limit": "whole number above 0, function of the user, its path, or None",
    "prefix": "text, function without arguments, or its path",
    "choice": "text",
    "choices": "tuple of texts",
    "names": "tuple of names",
    "flag": "True or False",
    "url": "URL, name of one, or None",
    "site": "URL without a path, or None",
    "function": "function of the record, its path, or None",
    "header": "name of a header that begins with X-, or None",
    "client_ip": "name of a header, function of the request, its path, or None",
    "mapping": "dict, or None",
    "engine": "path of an engine, or None",
    "path": "path of a class, or None",
    "date": "date, datetime, text of one, or None",
    "providers": "list of dicts",
    "binding": '"offer", "require", function of the user, its path, or None',
    "plain": "list of networks",
}
DOCUMENTED = """
    django_srvsession.middleware.SessionMiddleware
    django_srvsession.urls.urlpatterns django_srvsession.api.urls.urlpatterns
    django_srvsession.backends.db.SessionStore django_srvsession.backends.redis.SessionStore
    django_srvsession.backends.cached_db.SessionStore
    django_srvsession.backends.file.SessionStore django_srvsession.backends.memory.SessionStore
    django_srvsession.backends.redis.cluster.ConnectionFactory
    django_srvsession.services.sessions_of django_srvsession.services.recent_activity
    django_srvsession.services.SignInRefusedError
    django_srvsession.signals.session_started django_srvsession.signals.session_ended
    django_srvsession.admin.EndSessionsMixin django_srvsession.api.signing.LoginEndpoint
    django_srvsession.accounts.reauthentication.recent_proof_required
    django_srvsession.accounts.reauthentication.is_recent
    django_srvsession.live.LiveSessions django_srvsession.live.guard django_srvsession.live.unguarded
    django_srvsession.engine.SessionStore django_srvsession.store.Store django_srvsession.store.StoreUnavailableError
    django_srvsession.records.SessionRecord
""".split()


def _drawing() -> ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("house", ROOT / "docs" / "house.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_of_the_house_is_what_the_code_is() -> None:
    drawing = _drawing()
    assert drawing.PICTURE.read_text() == drawing.drawn(), "Draw it again: python docs/house.py"


@pytest.mark.parametrize("path", DOCUMENTED)
def test_a_path_that_sites_write_down_is_there(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert hasattr(import_module(module), name)


def _described() -> dict[str, tuple[str, Any]]:
    """Return what the page says of each setting: its type in words, and its default."""
    found = re.findall(r"\.\. confval:: SRVSESSION_(\w+)\n   :type: (.+)\n   :default: ``(.+)``\n", PAGE)
    return {name: (words, eval(default, {"timedelta": timedelta})) for name, words, default in found}


def test_the_page_of_settings_names_each_with_its_default_and_unit() -> None:
    described = _described()
    assert list(described) == list(dict.fromkeys(described))
    assert described.keys() == conf.SETTINGS.keys()
    for name, (words, default) in described.items():
        setting = conf.SETTINGS[name]
        kind = "duration or None" if setting.kind == "duration" and setting.default is None else setting.kind
        assert words == WORDS[kind], name
        assert default == setting.default, name


def test_each_setting_is_a_typed_attribute() -> None:
    stated = {name: text for name, text in conf.__annotations__.items() if name.islower() and not name.startswith("_")}
    hints = {name: eval(text, vars(conf)) for name, text in stated.items()}
    assert hints.keys() == {conf.attribute_of(name) for name in conf.SETTINGS}
    for name, setting in conf.SETTINGS.items():
        hint, value = hints[conf.attribute_of(name)], conf.read(name)
        if hint is not Any:
            kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
            assert isinstance(value, tuple(get_origin(kind) or kind for kind in kinds)), name
            may_be_none = setting.default is None or setting.kind.endswith("or None")
            assert (type(None) in kinds) == may_be_none, name


def test_a_setting_is_read_anew_after_a_change() -> None:
    with override_settings(SRVSESSION_TOUCH_INTERVAL=timedelta(seconds=7)):
        assert conf.touch_interval_ms == 7000
    assert conf.touch_interval_ms == 60_000


def test_a_misspelt_setting_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="touch_intervall"):
        _ = conf.touch_intervall
