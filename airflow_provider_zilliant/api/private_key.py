"""The private key of a JWT login: PEM text in the shapes that people paste, and the error that names what is wrong."""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from airflow_provider_zilliant.exceptions import ZilliantConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

FIELD, PASSPHRASE = "Extra private_key", "Extra private_key_passphrase"

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_BEGIN = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")
#: The two headers of a key that older tools encrypted; the length of the cipher's hex digits tells where they end.
_HEADERS = re.compile(r"\s*Proc-Type:\s*4,ENCRYPTED\s*DEK-Info:\s*(DES[A-Z0-9-]*,[0-9A-F]{16}|[A-Z0-9-]+,[0-9A-F]{32})")


def parse_private_key(text: str, passphrase: str | None) -> str:
    """The key as PEM text in its usual lines, whatever a form, a shell or JSON did to its newlines.

    :raises ZilliantConfigError: naming what the text is instead of an RSA key that can sign.
    """
    text = re.sub(r"\\+[nr]", "\n", text)
    blocks: dict[str, str] = dict(reversed(_BLOCK.findall(text)))
    label = next((label for label in blocks if label.endswith("PRIVATE KEY")), next(iter(blocks), None))
    if label is None:
        begun = _BEGIN.search(text)
        if begun is None:
            raise ZilliantConfigError(
                f"{FIELD}: is not PEM text. Paste the whole file, from -----BEGIN PRIVATE KEY----- to "
                "-----END PRIVATE KEY-----; a file's name is not read"
            )
        raise ZilliantConfigError(f"{FIELD}: is cut off: the line -----END {begun[1]}----- is missing")
    if "PUBLIC" in label:
        raise ZilliantConfigError(f"{FIELD}: is a public key. Paste the private key that it belongs to")
    if not label.endswith("PRIVATE KEY"):
        raise ZilliantConfigError(f"{FIELD}: is a {label.lower()}. Paste the private key that it belongs to")
    if label == "OPENSSH PRIVATE KEY":
        raise ZilliantConfigError(f"{FIELD}: is in OpenSSH's format. Convert it: ssh-keygen -p -m PEM -f FILE")
    headers = _HEADERS.match(blocks[label])
    if passphrase is None and (headers or label.startswith("ENCRYPTED")):
        raise ZilliantConfigError(f"{FIELD}: is encrypted, and {PASSPHRASE} is empty")
    body = "".join(blocks[label][headers.end() if headers else 0 :].split())
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    if headers:
        lines = ["Proc-Type: 4,ENCRYPTED", f"DEK-Info: {headers[1]}", "", *lines]
    pem = "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])
    load(pem, passphrase)
    return pem


@lru_cache(maxsize=16)
def load(pem: str, passphrase: str | None) -> RSAPrivateKey:
    """The key itself, ready to sign. Kept, as checking it takes long and every trigger reads its Connection.

    :param passphrase: not used for a key that is not encrypted.
    :raises ZilliantConfigError: it cannot be read, or is not RSA.
    """
    # Only who logs in with a key pays for this import, which takes a fifth of a second.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    is_encrypted = pem.startswith("-----BEGIN ENCRYPTED") or "Proc-Type:" in pem
    secret = passphrase.encode() if passphrase is not None and is_encrypted else None
    try:
        key = load_pem_private_key(pem.encode(), secret)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Their text may quote what they could not read.
        problem = "cannot be read: it is cut off or damaged"
        if secret is not None:
            problem = f"cannot be decrypted: {PASSPHRASE} is not its passphrase, or the key is cut off or damaged"
        raise ZilliantConfigError(f"{FIELD}: {problem}") from None
    if not isinstance(key, RSAPrivateKey):
        raise ZilliantConfigError(f"{FIELD}: is not an RSA key, and Salesforce takes no other (RS256)")
    return key


def shapes(pem: str) -> tuple[str, ...]:
    """The shapes in which the key could turn up somewhere: its lines in one, its Base64 bare and of the whole."""
    body = "".join(line for line in pem.splitlines() if not line.startswith("-----"))
    stripped = pem.strip()
    return (
        pem,
        stripped,
        stripped.replace("\n", "\\n"),
        stripped.replace("\n", " "),
        stripped.replace("\n", ""),
        body,
        base64.b64encode(stripped.encode()).decode(),
    )
