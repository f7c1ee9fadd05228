"""Requests and replies as plain values, and which error and general advice goes with an HTTP status."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode, urlsplit

from airflow_provider_zilliant.api.redaction import LONGEST_TEXT, redact, shorten, to_sentence
from airflow_provider_zilliant.exceptions import (
    ZilliantAuthError,
    ZilliantBadRequestError,
    ZilliantNotFoundError,
    ZilliantRateLimitError,
    ZilliantRequestError,
    ZilliantScopeBusyError,
    ZilliantServerError,
)

#: A transport reads no more of a body than this. What is longer is none of Zilliant's replies.
LONGEST_BODY = 2**20


@dataclass  # not frozen: making one, at every poll, would take three times as long
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
    #: Secrets that a reply could echo; no message may contain them.
    secrets: frozenset[str] = field(default_factory=frozenset, repr=False)

    @property
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


@dataclass  # not frozen, likewise
class Reply:
    """What came back. ``headers`` are looked up by lower-case names, ``received_time`` is in epoch seconds."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    received_time: float = 0.0
    secrets: frozenset[str] = field(default_factory=frozenset, repr=False)

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_json(self) -> bool:
        """Whether the body is a JSON object."""
        try:
            return isinstance(self.parse_json(), dict)
        except ValueError:
            return False

    @property
    def is_page(self) -> bool:
        """Whether the body is an HTML page, which Zilliant's API never sends."""
        return re.match(rb"\s*<", self.body) is not None

    @property
    def status_line(self) -> str:
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)

    def parse_json(self) -> Any:
        """The body as JSON; ValueError if it is not JSON."""
        try:
            return json.loads(self.body.decode().removeprefix("\ufeff"))
        except RecursionError:
            raise ValueError("nested too deeply") from None

    @property
    def explanation(self) -> str:
        """The server's own explanation: one short line without secrets."""
        # Before parsing and after: an escape in the JSON could spell a secret in yet another way.
        is_cut = len(self.body) > LONGEST_TEXT
        text = redact(self.body[:LONGEST_TEXT].decode("utf-8", "replace"), self.secrets, is_cut=is_cut)
        return shorten(redact(_extract_explanation(text), self.secrets))

    @property
    def retry_after(self) -> float | None:
        """The seconds that ``Retry-After`` asks to wait, whether it gives seconds or a date."""
        value = self.headers.get("retry-after", "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
            return float(value)
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - self.received_time)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None


@dataclass(frozen=True)
class NoReply:
    """No complete reply came back.

    :param sent: whether any of the request's body (of the request, if it has no body) may have left
        this machine. ``False`` is a promise.
    :param reason: why, without secrets.
    """

    sent: bool
    reason: str

    @classmethod
    def because(
        cls, error: BaseException, request: Request, *, sent: bool, secrets: frozenset[str] = frozenset()
    ) -> NoReply:
        """What a transport's exception means.

        :param secrets: what no message may hold, beside the request's.
        """
        kind = type(error).__name__
        if isinstance(error, ValueError):
            # An address or a header that cannot be used. Its text would quote it, password included.
            advice = "check the proxies in Extra and in the environment (http_proxy, https_proxy)"
            return cls(sent, f"the request could not be built ({kind}); {advice}")
        text = shorten(redact(str(error), request.secrets | secrets))
        return cls(sent, f"{kind}: {text}" if text else kind)


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
        "Check that the connection's Password holds the token endpoint's whole response (not only its "
        "access_token), that the token belongs to this environment and has not been revoked, that "
        "Extra oauth_host is this environment's OAuth host, and that the domain of Host is a Host_Name in the "
        'environment\'s "Zilliant SSO Configuration".'
    ),
    403: "The token is valid but not authorized for this; check the user's rights in Zilliant.",
    404: "Check the job id, and that the connection's Host is this Zilliant environment.",
    429: "Too many requests; increase the task's retry delay.",
    500: "Zilliant failed to process the request.",
}


def to_error(reply: Reply, doing: str) -> ZilliantRequestError:
    """The typed error for a reply that is not a success.

    :param doing: what the request was for, as in "Submitting workflow 'X'".
    """
    kind = _ERRORS.get(reply.status, ZilliantServerError if reply.status >= 500 else ZilliantRequestError)
    explanation = reply.explanation
    text = f"the reply was {reply.status_line}"
    text += f": {explanation}" if explanation else ", without an explanation"
    if 300 <= reply.status < 400:
        target = urlsplit(reply.headers.get("location", "")).netloc.rpartition("@")[2] or "another address"
        advice = f"It redirects to {shorten(redact(target, reply.secrets))}; redirects are not followed. "
        advice += "Check the connection's Host and scheme."
    else:
        advice = _ADVICE.get(reply.status, "")
    return kind(
        f"{to_sentence(text)} {advice}".rstrip(),
        doing=doing,
        status_code=reply.status,
        message=explanation,
        retry_after=reply.retry_after,
        is_json=reply.is_json,
        is_page=reply.is_page,
    )


def _extract_explanation(text: str) -> str:
    """The part of a body that is meant for people: a known JSON field, or an HTML page's title or text."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, dict):
        fields = [parsed.get(key) for key in ("error", "error_description", "message", "errorMessage", "detail")]
        return ": ".join(value for value in fields if isinstance(value, str) and value) or text
    if re.match(r"\s*<", text):
        # No "<" inside a tag: else a page of nothing but "<" takes seconds.
        title = re.search(r"<title[^<>]*>([^<]*)", text, re.IGNORECASE)
        return f"(an HTML page) {title[1] if title else re.sub('<[^<>]*>', ' ', text)}"
    return text
