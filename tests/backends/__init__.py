"""Tests of the stores: the contract of all (``django_srvsession.testing``), and what each promises beyond it."""
