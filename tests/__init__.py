"""Tests of django-srvsession, and the harness that gives them real servers."""

from importlib.util import find_spec

import pymysql

# Django knows MySQLdb only. Where mysqlclient is not installed PyMySQL stands in for it: it needs no compiler.
if find_spec("MySQLdb") is None:
    pymysql.install_as_MySQLdb()
