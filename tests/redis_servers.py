"""A Redis that speaks TLS; and a cluster of several whose nodes have replicas, and nodes that may join it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from tests.patience import patient
from tests.runs import wait_until
from tests.servers import RedisServer, find_program, free_port, missing


class TLSRedisServer(RedisServer):
    """A Redis that speaks TLS only, with a certificate of its own for 127.0.0.1, which is its own authority."""

    @property
    def certificate(self) -> Path:
        """The file that a client has to trust."""
        return self.directory / "certificate.pem"

    def prepare(self) -> None:
        super().prepare()
        openssl = find_program("openssl") or missing("openssl")
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", self._key]
        names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        self.run(openssl, "req", "-x509", *key, "-out", self.certificate, "-days", "2", *names)
        self.directory.chmod(0o711)  # Clients read the certificate.
        self.certificate.chmod(0o644)

    @property
    def _key(self) -> Path:
        return self.directory / "key.pem"

    def command(self) -> list[str | Path]:
        options = {
            "port": 0,
            "tls-port": self.port,
            "tls-cert-file": self.certificate,
            "tls-key-file": self._key,
            "tls-auth-clients": "no",
        }
        return [*super().command(), *(str(word) for name in options for word in (f"--{name}", options[name]))]

    @property
    def url(self) -> str:
        """Where it answers, with what a client has to trust; database number 0."""
        return f"rediss://{self.host}:{self.port}/0?ssl_ca_certs={self.certificate}"

    def client(self, **options: Any) -> redis.Redis:
        """Return a new client that trusts its certificate and does not retry."""
        return super().client(ssl=True, ssl_ca_certs=str(self.certificate), **options)


class ClusterNode(RedisServer):
    """A Redis that may be a node of a cluster; it is given a port for the other nodes, too."""

    def __init__(self, node_timeout_ms: int = 1000) -> None:
        super().__init__(appendonly=True)
        self.node_timeout_ms = node_timeout_ms
        self.bus_port = 0

    def command(self) -> list[str | Any]:
        self.bus_port = self.bus_port or free_port()  # The default, 10,000 above, may not exist.
        options = {
            "cluster-enabled": "yes",
            "cluster-port": self.bus_port,
            "cluster-node-timeout": int(patient(self.node_timeout_ms)),
            "cluster-replica-validity-factor": 0,  # A replica stands for election however long it heard nothing.
            "repl-diskless-sync-delay": 0,
        }
        return [*super().command(), *(str(word) for name in options for word in (f"--{name}", options[name]))]

    @property
    def address(self) -> str:
        """Where it answers, as redis-cli wants it."""
        return f"{self.host}:{self.port}"

    @property
    def id(self) -> str:
        """The name that the cluster knows it by."""
        return self.ask("CLUSTER", "MYID").decode()

    def ask(self, *command: Any) -> Any:
        """Send one command on a connection of its own; return the reply as bytes."""
        with self.client() as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def nodes(self) -> dict[str, list[str]]:
        """Return what this node knows of each node: the words of a line of CLUSTER NODES, by the node's name."""
        lines = self.ask("CLUSTER", "NODES").decode().splitlines()
        return {words[0]: words for words in map(str.split, lines)}

    @property
    def is_primary(self) -> bool:
        """Whether it takes itself for one that serves writes, or would if it had slots."""
        return self.ask("ROLE")[0] == b"master"


class ReplicatedCluster:
    """A Redis Cluster of private servers, made by redis-cli: three primary nodes, each with ``replicas`` replicas.

    Nodes can be added, slots can be moved, and any of ``nodes`` may be killed or frozen.
    """

    def __init__(self, replicas: int = 1, node_timeout_ms: int = 1000) -> None:
        self._replicas = replicas
        self._node_timeout_ms = node_timeout_ms
        self.nodes = [ClusterNode(node_timeout_ms) for _ in range(3 * (1 + replicas))]

    def start(self) -> None:
        """Start all nodes and wait until each knows that all serve."""
        for node in self.nodes:
            node.start()
        addresses = [node.address for node in self.nodes]
        self.cli("create", *addresses, "--cluster-replicas", str(self._replicas), "--cluster-yes")
        self.wait_ready()

    def stop(self) -> None:
        """Kill all nodes."""
        for node in self.nodes:
            if node.job:
                node.kill()

    def cli(self, *words: str) -> None:
        """Run a command of ``redis-cli --cluster`` and wait for its end; raise ``RuntimeError`` if it fails."""
        program = find_program("redis-cli", "valkey-cli") or missing("redis-cli")
        self.nodes[0].run(program, "--cluster", *words)

    @property
    def url(self) -> str:
        """Where one of its nodes answers."""
        return self.nodes[0].url

    @property
    def running(self) -> list[ClusterNode]:
        """The nodes that are neither killed nor frozen."""
        return [node for node in self.nodes if node.job and node.job.alive and not node.job.frozen]

    def is_ready(self) -> bool:
        """Whether every running node says that all slots are served, and knows every other as it is."""
        try:
            return all(self._is_well(node) for node in self.running)
        except redis.RedisError:
            return False

    def _is_well(self, node: ClusterNode) -> bool:
        running = {node.id for node in self.running}
        known = {name: words for name, words in node.nodes().items() if name in running}
        told = known.keys() == running and all(
            words[7] == "connected" and not {"fail", "fail?", "handshake"} & set(words[2].split(","))
            for words in known.values()
        )
        # A replica whose first copy of the data is under way cannot be promoted.
        is_in_step = node.is_primary or node.ask("ROLE")[3] == b"connected"
        return told and is_in_step and b"cluster_state:ok" in node.ask("CLUSTER", "INFO")

    def wait_ready(self, seconds: float = 30) -> None:
        """Wait until the cluster is in good order: all slots served, by nodes that know of each other."""
        job = self.running[0].job
        assert job
        wait_until(self.is_ready, job, seconds)

    def add_node(self) -> ClusterNode:
        """Start a node, make it a primary of the cluster without slots, and return it."""
        node = ClusterNode(self._node_timeout_ms)
        node.start()
        known = self.running[0]
        self.nodes.append(node)
        self.cli("add-node", node.address, known.address)
        self.wait_ready()
        return node

    def node(self, name: str) -> ClusterNode:
        """Return the node that the cluster knows by this name."""
        return next(node for node in self.running if node.id == name)

    def owner(self, key: str | bytes) -> ClusterNode:
        """Return the primary node that a key belongs to now, by its own word."""
        slot = key_slot(key if isinstance(key, bytes) else key.encode())
        return next(node for node in self.running if node.is_primary and self._serves(node, slot))

    def _serves(self, node: ClusterNode, slot: int) -> bool:
        ranges = [word for word in node.nodes()[node.id][8:] if not word.startswith("[")]
        pairs = [(int(first), int(last or first)) for first, _, last in (word.partition("-") for word in ranges)]
        return any(first <= slot <= last for first, last in pairs)

    def replicas_of(self, primary: ClusterNode) -> list[ClusterNode]:
        """Return the running replicas of a primary node."""
        return [node for node in self.running if node.nodes()[node.id][3] == primary.id]

    def move_slot_of(self, key: str | bytes, target: ClusterNode) -> None:
        """Move the slot of a key, with all keys in it, to another primary node."""
        source, slot = self.owner(key), key_slot(key if isinstance(key, bytes) else key.encode())
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.ask("MIGRATE", target.host, target.port, "", 0, 2000, "KEYS", *keys)
        for node in [target, source, *(node for node in self.running if node.is_primary)]:
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.id)
        self.wait_ready()

    def reshard(self, source: ClusterNode, target: ClusterNode, slots: int) -> None:
        """Move so many slots from one primary node to another, as an operator does."""
        words = ["--cluster-from", source.id, "--cluster-to", target.id, "--cluster-slots", str(slots)]
        self.cli("reshard", source.address, *words, "--cluster-yes")
        self.wait_ready()
