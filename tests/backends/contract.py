"""What a store is, as tests: the docstrings of ``django_srvsession.store.Store``, sentence by sentence.

To test a store of your own, subclass :class:`StoreContract` and give it a fixture ``store``::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self):
            return MyStore()

        def thread_done(self):  # a store on a database: close what the thread that ends had opened
            connections.close_all()

All sids, verifiers and user ids are random and nothing is emptied, so a shared server will do. Nothing waits for a
clock: sessions expire by a deadline in the past. (Call ``pytest.register_assert_rewrite`` as ``tests/backends`` does.)
"""

from __future__ import annotations

from tests.backends.contract_listing import AdmitContract, ClearExpiredContract, PortionContract, RecordsContract
from tests.backends.contract_threads import AsyncContract, ThreadsContract
from tests.backends.contract_verbs import (
    CreateContract,
    EndContract,
    EndManyContract,
    ExpireContract,
    LoadContract,
    RotateContract,
    UpdateContract,
)


class StoreContract(
    CreateContract,
    LoadContract,
    UpdateContract,
    RotateContract,
    EndContract,
    EndManyContract,
    ExpireContract,
    AdmitContract,
    RecordsContract,
    PortionContract,
    ClearExpiredContract,
    ThreadsContract,
    AsyncContract,
):
    """Collect every part of the contract; subclasses provide the fixture ``store``."""

    def thread_done(self) -> None:
        """Release what the thread that ends here has opened (a database connection, say)."""
