"""Keeps secrets out of messages: every text that came from a server, or from an exception, goes through here."""

from __future__ import annotations

import base64
import json
import re
from itertools import takewhile
from urllib.parse import quote, quote_plus

#: The most characters of a server's text that a message quotes.
MAX_LENGTH = 300
#: This many leading characters identify a secret that was cut off.
RECOGNIZABLE = 16


def spellings(*secrets: str) -> frozenset[str]:
    """The ways a server could echo a secret: plain, in Base64, and quoted for a URL or for JSON."""
    found: set[str] = set()
    for secret in filter(None, secrets):
        raw = secret.encode("utf-8", "surrogatepass")
        encoded = base64.b64encode(raw).decode()
        found |= {secret, encoded, encoded.rstrip("="), quote(raw), quote(raw, safe=""), quote_plus(raw)}
        found |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return frozenset(found)


def redact(text: str, secrets: frozenset[str]) -> str:
    """Replaces every secret, every long beginning of a truncated one, and credentials in URLs by ``***``."""
    text = re.sub(r"(?<=//)[^/\s]*@", "***@", text)
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    for secret in secrets:
        head = secret[:RECOGNIZABLE]
        while len(secret) > RECOGNIZABLE and (start := text.find(head)) >= 0:
            same = takewhile(lambda pair: pair[0] == pair[1], zip(secret, text[start:], strict=False))
            text = f"{text[:start]}***{text[start + sum(1 for _ in same) :]}"
    return text


def shorten(text: str) -> str:
    """One printable line of at most ``MAX_LENGTH`` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MAX_LENGTH else f"{line[:MAX_LENGTH]}…"
