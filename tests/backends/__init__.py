"""Tests of the stores: one contract for all, and what each promises beyond it."""

import pytest

pytest.register_assert_rewrite(
    "tests.backends.contract",
    "tests.backends.contract_listing",
    "tests.backends.contract_threads",
    "tests.backends.contract_verbs",
)
