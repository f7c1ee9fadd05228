"""``Token``: a Salesforce token response, the way the ``Authorization`` header needs it."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from airflow_provider_zilliant.api.redaction import spellings
from airflow_provider_zilliant.api.urls import parse_hostname
from airflow_provider_zilliant.exceptions import ZilliantConfigError

_EXPECTED = (
    "Password is not a complete Salesforce token response (as JSON or as Base64). It is sent unchanged, but "
    "Zilliant will reject it with 401. Paste the token endpoint's entire JSON response, "
    '{"access_token": ..., "instance_url": ..., ...}, or the Base64 of all of it (not of the access_token alone, and '
    "without a leading 'OAuth')."
)


@dataclass(frozen=True)
class Token:
    """A token response.

    :param header: what follows ``OAuth`` in the ``Authorization`` header.
    :param parts: the secret texts inside it.
    :param oauth_host: host of the response's ``instance_url``, if it has one.
    :param warning: what is odd about it, if anything.
    """

    header: str = field(repr=False)
    parts: tuple[str, ...] = field(default=(), repr=False)
    oauth_host: str | None = None
    warning: str | None = None

    @property
    def plain_secrets(self) -> tuple[str, ...]:
        """What no log may hold."""
        return self.header, *self.parts

    @cached_property
    def secrets(self) -> frozenset[str]:
        """The parts of it that a server could echo; no message may contain them."""
        return spellings(self.header, *self.parts)


def parse_token(text: str) -> Token:
    """The Password field in token mode: a token response as JSON text or in Base64.

    :raises ZilliantConfigError: it cannot be a header value.
    """
    if parse_json_object(text) is not None:
        return parse_token_response(text)
    compact = "".join(text.split())
    decoded = _decode(compact)
    header = text.strip() if decoded is None else compact
    require_header_value(header, "Password")
    if not decoded or parse_json_object(decoded) is None:
        return Token(header, parts=(decoded,) if decoded else (), warning=_EXPECTED)
    return replace(parse_token_response(decoded), header=header)


def parse_token_response(text: str) -> Token:
    """The entire JSON text of a token response, Base64-encoded unchanged."""
    response = parse_json_object(text) or {}
    header = base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()
    parts = [v for k, v in response.items() if isinstance(v, str) and ("token" in k or k == "signature")]
    parts = [part for part in parts if part != response.get("token_type")]
    instance = response.get("instance_url")
    access_token = response.get("access_token")
    return Token(
        header,
        parts=(text, *parts),
        oauth_host=parse_hostname(instance) if isinstance(instance, str) else None,
        warning=None if isinstance(access_token, str) and access_token else _EXPECTED,
    )


def require_header_value(value: str, field_name: str) -> None:
    """:raises ZilliantConfigError: the value cannot stand in an HTTP header."""
    if not value.isascii() or not value.isprintable():
        raise ZilliantConfigError(
            f"{field_name}: contains a newline, a control character or another character that HTTP headers do not allow"
        )


def parse_json_object(text: str) -> dict[str, Any] | None:
    """The JSON object in the text, or ``None``."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _decode(compact: str) -> str | None:
    """The text behind a Base64 string, or ``None`` if it is not Base64."""
    try:
        return base64.b64decode(compact, validate=True).decode("utf-8", "replace") if compact else None
    except (binascii.Error, ValueError):
        return None
