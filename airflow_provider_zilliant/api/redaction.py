"""Removes secrets from the texts of servers and exceptions, before a message quotes them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus, unquote, urlsplit

#: The most characters of a server's text that a message quotes.
MAX_LENGTH = 300
#: This many leading characters identify a secret that was cut off.
RECOGNIZABLE = 16
#: A shorter secret is replaced only where it is a whole word: "any" would mangle "company".
SHORTEST_IN_A_WORD = 5
#: No more of a text than this is scrubbed or looked at, as both take time.
LONGEST_TEXT = 65_536
#: A line's length is counted after white space was folded; no more than this is folded.
_LONGEST_RAW_LINE = 16 * MAX_LENGTH


def spellings(*secrets: str) -> frozenset[str]:
    """The ways a server could echo a secret: plain, in Base64, and quoted for a URL or for JSON."""
    found: set[str] = set()
    for secret in filter(None, secrets):
        raw = secret.encode("utf-8", "surrogatepass")
        encoded = base64.b64encode(raw).decode()
        found |= {secret, encoded, encoded.rstrip("="), quote(raw), quote(raw, safe=""), quote_plus(raw)}
        found |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return frozenset(found)


def proxy_secrets(urls: Iterable[str]) -> frozenset[str]:
    """What no message may hold of these proxies: their passwords, and the value of ``Proxy-Authorization``.

    :param urls: with or without a scheme.
    """
    found: frozenset[str] = frozenset()
    for url in urls:
        credentials = _credentials(url)
        user, _, password = credentials.partition(":")
        if password:
            plain = unquote(user), unquote(password)
            found |= spellings(password, plain[1], credentials, ":".join(plain))
            found |= {base64.b64encode(":".join(plain).encode("latin-1", "replace")).decode()}  # as both clients do
    return found


def redact(text: str, secrets: frozenset[str], *, is_cut: bool = False) -> str:
    """Replaces every secret, every long beginning of a truncated one, and credentials in URLs by ``***``.

    Of a text that is too long, the beginning remains.

    :param is_cut: whether it is the beginning of a longer text.
    """
    is_cut, text = is_cut or len(text) > LONGEST_TEXT, text[:LONGEST_TEXT]
    text = re.sub(r"(?<=//)[^/\s]*@", "***@", text)
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST_IN_A_WORD:
            text = text.replace(secret, "***")
        elif secret in text:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    for secret in secrets:
        if len(secret) > RECOGNIZABLE:
            text = _without_beginnings(text, secret)
    if is_cut:  # at its end may stand the beginning of any secret
        text = text[: -max(map(len, secrets), default=0) or None]
    return text


def shorten(text: str) -> str:
    """One printable line of at most ``MAX_LENGTH`` characters."""
    is_cut = len(text) > _LONGEST_RAW_LINE
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:_LONGEST_RAW_LINE]).split())
    return line if len(line) <= MAX_LENGTH and not is_cut else f"{line[:MAX_LENGTH]}…"


def to_sentence(text: str) -> str:
    """The text with a full stop that is no part of a link: terminals and Airflow's UI would take it along."""
    text = text.rstrip(".")
    before, space, last = text.rpartition(" ")
    return f"{before}{space}<{last}>." if re.match(r"https?://[^<>\s'\")]+$", last) else f"{text}."


def _without_beginnings(text: str, secret: str) -> str:
    head, pieces, end = secret[:RECOGNIZABLE], [], 0
    while (start := text.find(head, end)) >= 0:
        pieces += [text[end:start], "***"]
        end = start + RECOGNIZABLE
        for expected in secret[RECOGNIZABLE:]:
            if text[end : end + 1] != expected:
                break
            end += 1
    return "".join([*pieces, text[end:]]) if pieces else text


def _credentials(url: str) -> str:
    """What stands before the ``@`` of a URL."""
    try:
        return urlsplit(url if "//" in url else f"//{url}").netloc.rpartition("@")[0]
    except ValueError:  # not a URL, but perhaps with a password
        return url.rpartition("@")[0].rpartition("//")[2]
