"""The whole contract, in one class."""

from __future__ import annotations

from django_srvsession.testing.clearing import ClearExpiredContract
from django_srvsession.testing.conflicts import ConflictContract
from django_srvsession.testing.contents import ContentsContract
from django_srvsession.testing.creating import CreateContract, LoadContract
from django_srvsession.testing.details import DetailsContract
from django_srvsession.testing.ending import AliveContract, EndContract, EndManyContract, ExpireContract
from django_srvsession.testing.faces import FaceContract
from django_srvsession.testing.limit import AdmitContract
from django_srvsession.testing.listing import RecordsContract
from django_srvsession.testing.portions import PortionContract
from django_srvsession.testing.random_steps import RandomStepsContract
from django_srvsession.testing.refusing import RefusalContract
from django_srvsession.testing.restoring import RestoreContract
from django_srvsession.testing.rotating import RotateContract
from django_srvsession.testing.threads import ThreadsContract
from django_srvsession.testing.updating import UpdateContract


class StoreContract(
    RandomStepsContract,  # Runs last: the others say more plainly what is wrong.
    CreateContract,
    LoadContract,
    UpdateContract,
    RefusalContract,
    ConflictContract,
    ContentsContract,
    DetailsContract,
    RotateContract,
    RestoreContract,
    EndContract,
    EndManyContract,
    ExpireContract,
    AliveContract,
    AdmitContract,
    RecordsContract,
    PortionContract,
    ClearExpiredContract,
    ThreadsContract,
    FaceContract,
):
    """Collect every part of the contract; the class that inherits it, or its module, has a fixture ``store``."""

    def thread_done(self) -> None:
        """Release what the thread that ends here has opened (a database connection, say)."""
