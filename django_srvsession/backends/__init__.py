"""The stores, a package each; naming one as ``SESSION_ENGINE`` makes it the site's.

``memory`` (one process), ``file`` (one machine), ``db`` (any database of Django's), ``redis`` (django-redis),
``cached_db`` (that database behind that Redis) and ``mongodb``. Each package holds a ``Store`` and the ``SessionStore``
that Django's session machinery loads by that name. ``rules`` decides for the stores that write a session whole under a
lock.
"""
