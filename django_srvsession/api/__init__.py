"""The pages' twin in JSON, for single-page and mobile clients; include ``django_srvsession.api.urls`` at ``api/``, say.

``openapi.json`` beside this file describes it; a test holds the two against each other. No framework is needed, and
nothing here stands in the way of one.
"""
