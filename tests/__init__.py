"""Tests of django-srvsession, and the harness that gives them real servers."""

import pymysql

# Django knows MySQLdb only. PyMySQL stands in for it: it needs no compiler and no headers.
pymysql.install_as_MySQLdb()
