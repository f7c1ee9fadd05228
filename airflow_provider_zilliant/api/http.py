"""Requests and replies as values, and the one table from HTTP statuses to typed errors."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cached_property
from http import HTTPStatus
from itertools import takewhile
from typing import Any
from urllib.parse import quote, quote_plus, urlencode, urlsplit

from airflow_provider_zilliant.exceptions import (
    ZilliantAuthError,
    ZilliantBadRequestError,
    ZilliantNotFoundError,
    ZilliantRateLimitError,
    ZilliantRequestError,
    ZilliantScopeBusyError,
    ZilliantServerError,
)

#: How much of the server's words a message carries.
MAX_WORDS = 300
#: What the words of an HTML page begin with.
PAGE = "(an HTML page)"
#: So many characters of a longer secret are enough to know it by.
BEGINNING = 16


@dataclass(frozen=True)
class Request:
    """Everything that a transport needs to send one request.

    ``url`` is a path until :meth:`Environment.sign` has addressed and signed the request.
    """

    method: str
    url: str
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool | str = True
    proxies: Mapping[str, str] | None = field(default=None, repr=False)
    #: What a reply to this request could echo and no message may hold.
    secrets: frozenset[str] = field(default_factory=frozenset, repr=False)

    @cached_property
    def body(self) -> bytes | None:
        if self.json is not None:
            return json.dumps(self.json).encode()
        if self.form is not None:
            return urlencode(self.form).encode()
        return None

    @property
    def content_type(self) -> str | None:
        if self.json is not None:
            return "application/json"
        return "application/x-www-form-urlencoded" if self.form is not None else None


@dataclass(frozen=True)
class Reply:
    """What came back. ``headers`` are found under lower-case names, ``at`` is epoch seconds."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    at: float = 0.0
    secrets: frozenset[str] = field(default_factory=frozenset, repr=False)

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def parse_json(self) -> Any:
        """The body as JSON; ValueError where it is none."""
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("nested too deeply") from None

    @property
    def words(self) -> str:
        """The server's own words: one line, without secrets, at most ``MAX_WORDS`` characters."""
        # Before the parse and after it: an escape in the JSON could spell a secret in yet another way.
        text = without(self.secrets, self.body.decode("utf-8", "replace"))
        return shorten(without(self.secrets, _meant_for_people(text)))

    @property
    def retry_after(self) -> float | None:
        """Seconds that ``Retry-After`` asks for, given there as seconds or as a date."""
        value = self.headers.get("retry-after", "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
            return float(value)
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - self.at)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None


@dataclass(frozen=True)
class NoReply:
    """No whole reply came back.

    :param sent: whether any of the request's body (for a request without one: of the request)
        may have left this machine. ``False`` is a promise.
    :param reason: why, in words that hold no secret.
    """

    sent: bool
    reason: str

    @classmethod
    def because(cls, error: BaseException, request: Request, *, sent: bool) -> NoReply:
        """What a transport's exception means, in words that hold no secret."""
        kind = type(error).__name__
        if isinstance(error, ValueError):
            # An address or a header that cannot be used; the text would quote it, with the password in it.
            told = "check the proxies in Extra and in the environment (http_proxy, https_proxy)"
            return cls(sent, f"the request could not be built ({kind}); {told}")
        told = shorten(without(request.secrets, str(error)))
        return cls(sent, f"{kind}: {told}" if told else kind)


_ERRORS: dict[int, type[ZilliantRequestError]] = {
    400: ZilliantBadRequestError,
    401: ZilliantAuthError,
    403: ZilliantAuthError,
    404: ZilliantNotFoundError,
    409: ZilliantScopeBusyError,
    429: ZilliantRateLimitError,
}

_ADVICE = {
    401: (
        "Check that the connection's Password holds the whole token response of the token endpoint (not "
        "only its access_token), that it belongs to this environment and has not been revoked, and that "
        "Extra oauth_host is this environment's OAuth host."
    ),
    403: "The token is known but may not do this; check the user's rights in Zilliant.",
    404: "Check the job id, and that the connection's Host is this Zilliant environment.",
    429: "Too many requests; let the task's retries come later.",
    500: "Zilliant itself says that it failed to process the request.",
}


def error_of(reply: Reply, doing: str) -> ZilliantRequestError:
    """The typed error for a reply that is no success.

    :param doing: what the request was to do, as in "submitting workflow X".
    """
    kind = _ERRORS.get(reply.status, ZilliantServerError if reply.status >= 500 else ZilliantRequestError)
    words = reply.words
    text = f"{doing}: the answer was {status_line(reply.status)}"
    text += f", in its words: {words}" if words else ", without a word of explanation"
    if 300 <= reply.status < 400:
        target = urlsplit(reply.headers.get("location", "")).netloc.rpartition("@")[2] or "elsewhere"
        advice = f"It redirects to {shorten(without(reply.secrets, target))}; redirects are not followed. "
        advice += "Check the connection's Host and scheme."
    else:
        advice = _ADVICE.get(reply.status, "")
    error = kind(f"{text}. {advice}".rstrip(), status_code=reply.status, message=words)
    if isinstance(error, ZilliantRateLimitError | ZilliantServerError):
        error.retry_after = reply.retry_after
    return error


def status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _meant_for_people(text: str) -> str:
    """The telling part of a body: a known JSON field, or an HTML page's title or text."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, dict):
        told = [parsed.get(key) for key in ("error", "error_description", "message", "errorMessage", "detail")]
        return ": ".join(part for part in told if isinstance(part, str) and part) or text
    if re.match(r"\s*<", text):
        page = text[:20_000]
        title = re.search(r"<title[^>]*>(.*?)</title", page, re.IGNORECASE | re.DOTALL)
        return f"{PAGE} {title[1] if title else re.sub('<[^>]*>', ' ', page)}"
    return text


def shorten(text: str) -> str:
    """One printable line of at most ``MAX_WORDS`` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MAX_WORDS else f"{line[:MAX_WORDS]}…"


def spellings(*secrets: str) -> frozenset[str]:
    """The ways in which a server could echo a secret: plain, in Base64, and quoted for a URL or JSON."""
    found: set[str] = set()
    for secret in filter(None, secrets):
        raw = secret.encode("utf-8", "surrogatepass")
        encoded = base64.b64encode(raw).decode()
        found |= {secret, encoded, encoded.rstrip("="), quote(raw), quote(raw, safe=""), quote_plus(raw)}
        found |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return frozenset(found)


def without(secrets: frozenset[str], text: str) -> str:
    """The text with every secret, every long beginning of one that was cut off, and credentials in URLs replaced."""
    text = re.sub(r"(?<=//)[^/\s]*@", "***@", text)
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    for secret in secrets:
        head = secret[:BEGINNING]
        while len(secret) > BEGINNING and (start := text.find(head)) >= 0:
            same = takewhile(lambda pair: pair[0] == pair[1], zip(secret, text[start:], strict=False))
            text = f"{text[:start]}***{text[start + sum(1 for _ in same) :]}"
    return text
