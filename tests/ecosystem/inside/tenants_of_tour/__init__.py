"""The tenants of the tour of django-tenants, as that package wants them: a model with a schema, and its hosts."""
