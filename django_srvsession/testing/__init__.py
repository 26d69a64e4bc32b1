"""What a store is, as tests: the docstrings of ``django_srvsession.store.Store``, sentence by sentence.

Needs the extra ``testing`` (pytest and hypothesis). To test a store of your own, subclass :class:`StoreContract` in a
test module, and have a fixture ``store`` in the class or in the module::

    import pytest
    from django_srvsession.testing import StoreContract

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self):
            return MyStore()

        def thread_done(self):  # a store on a database: close what the thread that ends had opened
            connections.close_all()

All sids, verifiers and user ids are random, so nothing need be emptied between tests; nobody else may use the store
meanwhile. Nothing waits for a clock: sessions expire by a deadline in the past. Django's settings must be configured.
``sessions`` holds what the tests make sessions with, for tests of your own.
"""

from __future__ import annotations

from pkgutil import iter_modules

import pytest

# Before they are imported: failures then say what was compared.
pytest.register_assert_rewrite(*(f"{__name__}.{part.name}" for part in iter_modules(__path__)))

from django_srvsession.testing.contract import StoreContract  # noqa: E402

__all__ = ["StoreContract"]
