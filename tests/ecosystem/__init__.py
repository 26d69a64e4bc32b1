"""Other packages beside our sessions: ``python -m tests.ecosystem [names]``, which ``make ecosystem`` runs.

Each package is installed at its newest version into an environment of its own. Its own tests run twice there: on
Django's session engine, and on ours with our middleware. Where the source distribution has no tests, a tour of ours
visits a small site with that package, the same steps on both engines. ``docs/ecosystem.rst`` is written from the
JUnit files.
"""
