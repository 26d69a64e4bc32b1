"""Change the settings of the site that a process sets up, and count the sessions that are made; see sitecustomize."""

import atexit
import collections
import fcntl
import json
import os

MINE = os.environ["SRVSESSION_ECOSYSTEM_SIDE"] == "ours"
SETTINGS = json.loads(os.environ.get("SRVSESSION_ECOSYSTEM_SETTINGS", "{}"))
STOCK = "django.contrib.sessions.middleware.SessionMiddleware"
OURS = "django_srvsession.middleware.SessionMiddleware"
APP = "django_srvsession"
MADE = collections.Counter()
COUNTING = []


def changed(apps, middleware, own_hashers):
    """Return the settings to put in, given those two of the site, and whether it says how passwords are hashed."""
    # Half of the time goes to hashing passwords otherwise, the same on both sides.
    more = {} if own_hashers else {"PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"]}
    more.update(SETTINGS)
    if MINE:
        more["MIDDLEWARE"] = [OURS if name == STOCK else name for name in middleware]
        more["INSTALLED_APPS"] = [*apps, *([] if APP in apps else [APP])]
    return more


def install():
    """Have Django's settings changed when they are read, and its sessions counted when the apps are there."""
    from django import conf
    from django.apps import registry

    read, configure, populate = conf.Settings.__init__, conf.LazySettings.configure, registry.Apps.populate

    def settings_of_module(self, module):
        read(self, module)
        hashers = self.is_overridden("PASSWORD_HASHERS")
        for name, value in changed(self.INSTALLED_APPS, self.MIDDLEWARE, hashers).items():
            setattr(self, name, value)
            self._explicit_settings.add(name)

    def settings_given(self, default_settings=conf.global_settings, **options):
        theirs = [options.get(name, getattr(default_settings, name, [])) for name in ("INSTALLED_APPS", "MIDDLEWARE")]
        configure(self, default_settings, **{**options, **changed(*theirs, "PASSWORD_HASHERS" in options)})

    def apps_there(self, installed_apps=None):
        populate(self, installed_apps)
        if self.ready and not COUNTING:
            COUNTING.append(True)
            _count()

    conf.Settings.__init__ = settings_of_module
    conf.LazySettings.configure = settings_given
    registry.Apps.populate = apps_there
    atexit.register(_note)
    os.register_at_fork(after_in_child=MADE.clear)


def _count():
    from django.contrib.sessions.backends.base import SessionBase

    _count_of(SessionBase)
    if MINE:
        from django_srvsession.engine.django_api import DjangoAPI

        _count_of(DjangoAPI)


def _count_of(kind):
    begin = kind.__init__

    def counted(self, *arguments, **named):
        stores = (kind.__module__ for kind in type(self).__mro__ if kind.__name__ == "SessionStore")
        module = next(stores, type(self).__module__)  # Tests may take the base class as it is.
        if module not in MADE:
            _write({module: 1})  # At once: servers may end their processes without a word.
            MADE[module] = 0
        else:
            MADE[module] += 1
        begin(self, *arguments, **named)

    kind.__init__ = counted


def _note():
    if MADE:
        _write(MADE)


def _write(counts):
    with open(os.environ["SRVSESSION_ECOSYSTEM_EVIDENCE"], "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(counts) + "\n")
