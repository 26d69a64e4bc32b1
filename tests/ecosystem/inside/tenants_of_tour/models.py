"""A tenant, and the hosts that it is reached by."""

from django.db import models
from django_tenants.models import DomainMixin, TenantMixin


class Tenant(TenantMixin):
    """A tenant."""

    name = models.CharField(max_length=100)
    auto_create_schema = True


class Host(DomainMixin):
    """A host of a tenant."""
