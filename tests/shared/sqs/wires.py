"""HTTP as the tests of clients see it: requests that were read, answers byte by byte, a certificate."""

import asyncio
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

JSON_HEADERS = (("Content-Type", "application/x-amz-json-1.0"),)


@dataclass(frozen=True)
class Request:
    """What came over a connection; names of headers in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        """As AWS's JSON protocols name it."""
        return self.headers.get("x-amz-target", ".").split(".")[1]

    @property
    def access_key_id(self) -> str:
        """Whose it says it is."""
        return self.headers.get("authorization", "").partition("Credential=")[2].partition("/")[0]


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Raises IncompleteReadError at the end of the connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    request, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    method, target, _ = request.split(" ")
    return Request(method, target, headers, body)


def answer(
    writer: asyncio.StreamWriter,
    status: int,
    content: bytes,
    *,
    headers: tuple[tuple[str, str], ...] = JSON_HEADERS,
    length: int | None = None,
) -> None:
    """`length` is what the head says where that is not the content's."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    length = len(content) if length is None else length
    head = f"HTTP/1.1 {status} X\r\n{lines}Content-Length: {length}\r\n\r\n"
    writer.write(head.encode(errors="surrogateescape") + content)


def own_certificate(folder: Path) -> ssl.SSLContext:
    """A server's context for `localhost`; its certificate is left in the folder."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    (folder / "certificate").write_bytes(certificate.public_bytes(pem))
    plain = serialization.NoEncryption()
    (folder / "key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate", folder / "key")
    return context
