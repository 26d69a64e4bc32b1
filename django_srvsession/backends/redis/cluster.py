"""What makes a cache alias of django-redis one for a Redis Cluster."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django_redis import pool as django_redis_pool
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import parse_url


class ConnectionFactory(django_redis_pool.ConnectionFactory):  # type: ignore[misc]
    """Connect a cache alias to a Redis Cluster; name it in the alias's ``OPTIONS["CONNECTION_FACTORY"]``.

    ``LOCATION`` is the URL of one node, which tells of the others. ``STARTUP_NODES`` in ``OPTIONS``, a list of (host,
    port), are asked when that one is down. Of django-redis' own options it takes ``USERNAME``, ``PASSWORD``, the two
    time-outs, ``CONNECTION_POOL_KWARGS`` (of each node's connections: ``max_connections``, ``ssl_ca_certs``, ...) and
    ``REDIS_CLIENT_KWARGS`` (what else ``redis.cluster.RedisCluster`` takes: ``address_remap``, ...).
    """

    _clients: ClassVar[dict[str, RedisCluster]] = {}

    def connect(self, url: str) -> RedisCluster:
        """Return the client for these options; one serves all threads of a process, as a pool does."""
        if parse_url(url).get("db"):  # type: ignore[no-untyped-call]
            raise ImproperlyConfigured(
                "A Redis Cluster has database 0 only: the LOCATION of the cache alias names another."
            )
        options: dict[str, Any] = self.make_connection_params(url)
        del options["parser_class"]  # Each node's connections find theirs by themselves.
        options |= self.pool_cls_kwargs | self.redis_client_cls_kwargs
        known = repr((sorted(options.items()), self.options.get("STARTUP_NODES")))
        if known not in self._clients:
            nodes = [self._node(*address) for address in self.options.get("STARTUP_NODES", ())]
            self._clients[known] = RedisCluster(startup_nodes=nodes, **options)
        return self._clients[known]

    def disconnect(self, connection: RedisCluster) -> None:
        """Close the connections to all nodes."""
        connection.disconnect_connection_pools()  # type: ignore[no-untyped-call]

    def _node(self, host: str, port: int) -> ClusterNode:
        return ClusterNode(host, port)  # type: ignore[no-untyped-call]
