"""A server of its own process that answers "still running" as Zilliant and its peers' services do, and counts.

It speaks as little HTTP as the clients need, so that it is never what is being measured.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import re
import ssl
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from tests.benchmarks.common import child

_ZILLIANT = b"/v1/JobWorkflow/Authorized"
_BODIES = {
    _ZILLIANT: {
        "executionStatus": "OPEN",
        "closeStatus": None,
        "startTimeStamp": "2026-11-23T08:15:30.123Z",
        "closeTimeStamp": None,
    },
    b"/api/2.": {
        "run_id": 1,
        "state": {"life_cycle_state": "RUNNING", "result_state": "", "state_message": "In run"},
    },
    b"/api/v2/accounts/": {"status": {"code": 200, "is_success": True}, "data": {"id": 1, "status": 3}},
}


def _reply(status: str, body: object) -> bytes:
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    return head.encode() + text


_REPLIES = {path: _reply("200 OK", body) for path, body in _BODIES.items()}
_NOT_YET = _reply("404 Not Found", {})
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass
class Counts:
    """What clients did so far; a connection counts when it carries its first request."""

    connections: int = 0
    requests: int = 0


@dataclass(frozen=True)
class Address:
    """Where a server listens, and what makes its certificate trusted."""

    http: int
    https: int
    certificate: str

    def url(self, scheme: str) -> str:
        return f"{scheme}://{self.host(scheme)}"

    def host(self, scheme: str) -> str:
        return f"127.0.0.1:{self.https if scheme == 'https' else self.http}"


class Speaker(asyncio.Protocol):
    """One connection, kept for as long as the client wants it."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._is_counted = False
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = self._read[:end]
            told = _LENGTH.search(head)
            end += 4 + (int(told[1]) if told else 0)
            if len(self._read) < end:
                return
            self._read = self._read[end:]
            self._transport.write(self._answer(head))  # type: ignore[attr-defined]

    def _answer(self, head: bytes) -> bytes:
        method, path, _ = head.split(b" ", 2)
        if path == b"/counts":
            return _reply("200 OK", asdict(self._counts))
        self._counts.requests += 1
        if not self._is_counted:
            self._is_counted = True
            self._counts.connections += 1
        if method == b"POST" and path == _ZILLIANT:
            return _reply("202 Accepted", {"jobId": str(uuid.uuid4())})
        return next((reply for prefix, reply in _REPLIES.items() if path.startswith(prefix)), _NOT_YET)


async def counts_at(address: Address) -> Counts:
    """What the server counted so far; asking is not counted."""
    reader, writer = await asyncio.open_connection("127.0.0.1", address.http)
    writer.write(b"GET /counts HTTP/1.1\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    told = await reader.readuntil(b"}")
    writer.close()
    return Counts(**json.loads(told))


@contextmanager
def serving(certificate: Path, env: dict[str, str]) -> Iterator[Address]:
    """A server in a fresh process; it ends with its standard input."""
    process: subprocess.Popen[str] = child("server", str(certificate), env=env)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Address(**json.loads(process.stdout.readline()))
    finally:
        process.stdin.close()
        process.wait()


def make_certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that is its own authority, with its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmarks")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


async def _serve(certificate: str) -> None:
    counts = Counts()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    ports = [
        (await loop.create_server(lambda: Speaker(counts), "127.0.0.1", 0, ssl=how, backlog=8192)).sockets[0]
        for how in (None, tls)
    ]
    http, https = (port.getsockname()[1] for port in ports)
    print(json.dumps(asdict(Address(http, https, certificate))), flush=True)
    ended = asyncio.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(ended.set)), daemon=True).start()
    await ended.wait()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
