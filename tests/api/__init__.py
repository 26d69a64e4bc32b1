"""The JSON API, by hand and by schemathesis."""
