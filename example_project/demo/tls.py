"""The demo over TLS, by a certificate that it has signed itself: browsers bind sessions over TLS alone."""

from __future__ import annotations

import base64
import hashlib
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

DAYS = 30
FEATURES = "DeviceBoundSessions,EnableBoundSessionCredentialsSoftwareKeysForManualTesting"


class Certificate(NamedTuple):
    """Where a certificate and its key are, and the digest by which a browser can be told to believe it."""

    path: Path
    key: Path
    digest: str

    @property
    def flags(self) -> list[str]:
        """What Chromium must be started with: to believe this certificate, and to bind without a chip for keys."""
        return [f"--ignore-certificate-errors-spki-list={self.digest}", f"--enable-features={FEATURES}"]


def certificate(directory: Path) -> Certificate:
    """Make one for localhost, in a directory of one's own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    since, until = now - timedelta(days=1), now + timedelta(days=DAYS)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), since, until)
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = base64.b64encode(hashlib.sha256(public).digest()).decode()
    found = Certificate(directory / "certificate.pem", directory / "key.pem", digest)
    found.path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    found.key.touch(mode=0o600)
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    found.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    return found


def serve(application: Callable[..., Any], port: int, made: Certificate) -> None:
    """Serve on 127.0.0.1 until interrupted."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made.path, made.key)
    server = ThreadedWSGIServer(("127.0.0.1", port), WSGIRequestHandler)
    server.daemon_threads = True
    # Each connection shakes hands when it is first read: one that says nothing keeps nobody waiting.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.base_environ["HTTPS"] = "on"
    server.set_app(application)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
