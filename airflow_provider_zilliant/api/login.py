"""Logging in at Salesforce: the flows of ``POST /services/oauth2/token``, each a value, and what its replies mean."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias
from urllib.parse import urlsplit

from airflow_provider_zilliant.api import private_key
from airflow_provider_zilliant.api.http import NoReply, Reply, to_error
from airflow_provider_zilliant.api.token import Token, parse_token_response
from airflow_provider_zilliant.exceptions import (
    ZilliantAuthError,
    ZilliantError,
    ZilliantRateLimitError,
    ZilliantReplyError,
    ZilliantServerError,
    ZilliantUnreachableError,
)

DEFAULT_LOGIN_URL = "https://login.salesforce.com"
SANDBOX_LOGIN_URL = "https://test.salesforce.com"
TOKEN_PATH = "/services/oauth2/token"
#: Seconds for which an assertion is good. Salesforce takes at most 180; the rest is for a clock that is fast.
ASSERTION_LIFETIME = 120

#: What is said beside the outcome of every login with user and password.
RETIRING = (
    "Salesforce is retiring the flow user and password (its release note says Winter '27, later reports February "
    "2027): move to client credentials or JWT bearer."
)

#: Salesforce's words, in lower case, that mean "later": nothing is wrong with the login itself.
_LATER = ("retry your request", "unknown_error", "server_error", "temporarily_unavailable")
_TOO_MANY = ("rate_limit_exceeded", "login rate exceeded")

#: Pairs of Salesforce's words, in lower case, and the cause behind them. Empty words are those that it never says.
Causes: TypeAlias = tuple[tuple[str, str], ...]

_ANY_FLOW: Causes = (
    (
        "invalid_client_id",
        "Extra client_id is not the consumer key of an app of this org, or the app is new: Salesforce takes up to ten "
        "minutes to make it known.",
    ),
    ("invalid_client", "Extra client_secret is not the app's consumer secret."),
    ("ip restricted", "The app or the user's profile does not let this machine's IP address in."),
    ("inactive", "The user is not active."),
)


@dataclass(frozen=True)
class Login(ABC):
    """One flow, with all that its request needs.

    :param url: the login server, without the token endpoint's path.
    :param client_id: consumer key of the app in Salesforce.
    """

    url: str
    client_id: str = field(repr=False)

    #: What the flow is called, in messages and in the documentation.
    flow: ClassVar[str]
    #: What people meet. Where Salesforce's words name none of them, all are told.
    causes: ClassVar[Causes]
    #: What is to be said whatever the outcome.
    note: ClassVar[str] = ""

    @property
    @abstractmethod
    def secrets(self) -> tuple[str, ...]:
        """What no message may hold."""

    @abstractmethod
    def form(self, now: float) -> dict[str, str]:
        """The fields of the request's body.

        :param now: the time, in epoch seconds.
        """

    def form_secrets(self, form: Mapping[str, str]) -> tuple[str, ...]:
        """The secrets that only this one body holds."""
        return ()

    def __str__(self) -> str:
        return f"Logging in at {self.url} with {self.flow}"

    def read(self, reply: Reply | NoReply) -> Token:
        """The token in the login server's reply. Whatever went wrong here, Zilliant has not been asked yet.

        :raises ZilliantUnreachableError: no complete reply.
        :raises ZilliantAuthError: the login was refused.
        :raises ZilliantRequestError: the login server has trouble of its own, or is asked too often.
        :raises ZilliantReplyError: the reply holds no token.
        """
        try:
            return self._read(reply)
        except ZilliantError as error:
            error.is_login = True
            raise

    def _read(self, reply: Reply | NoReply) -> Token:
        doing = str(self)
        if isinstance(reply, NoReply):
            raise ZilliantUnreachableError(
                f"no complete reply, and nothing was sent to Zilliant: {reply.reason}", doing=doing
            )
        if not reply.is_success:
            if reply.status >= 500 or reply.status in (408, 429):
                raise to_error(reply, doing)
            raise self._refusal(reply)
        try:
            token = parse_token_response(reply.body.decode())
        except UnicodeDecodeError:
            token = None
        if token is None or token.warning is not None:
            raise ZilliantReplyError("the reply contains no access_token. Check Extra login_url.", doing=doing)
        return token

    def _refusal(self, reply: Reply) -> ZilliantError:
        said = reply.explanation
        refused = f"refused with {reply.status}: {said or 'no reason given'}. "
        kind: type[ZilliantAuthError | ZilliantRateLimitError | ZilliantServerError] = ZilliantAuthError
        if any(words in said.lower() for words in _TOO_MANY):
            kind = ZilliantRateLimitError
            advice = "Salesforce allows a user 3,600 logins an hour; something logs in far too often."
        elif any(words in said.lower() for words in _LATER):
            kind = ZilliantServerError
            advice = "Salesforce asks to try again later."
        else:
            advice = self._advice(said.lower())
        return kind(
            f"{refused}{advice} {self.note}".rstrip(),
            doing=str(self),
            status_code=reply.status,
            message=said,
            retry_after=reply.retry_after,
        )

    def _advice(self, said: str) -> str:
        for words, cause in (*self.causes, *_ANY_FLOW):
            if words and words in said:
                return cause
        numbered = (f"({number}) {cause}" for number, (_, cause) in enumerate(self.causes, 1))
        return f"The usual causes: {' '.join(numbered)}"


@dataclass(frozen=True)
class ClientCredentials(Login):
    """The app logs in as itself: ``grant_type=client_credentials``."""

    client_secret: str = field(repr=False)

    flow = "client credentials"
    causes = (
        (
            "not supported on this domain",
            "Extra login_url is not the org's My Domain, and this flow works nowhere else: set it to "
            "https://MYDOMAIN.my.salesforce.com (Setup, My Domain shows it).",
        ),
        (
            "no client credentials user",
            "The app has no run-as user: choose one in the app's policies, under Client Credentials Flow.",
        ),
        ("not enabled", "The app does not offer this flow: turn on Enable Client Credentials Flow in its settings."),
    )

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.client_secret,)

    def form(self, now: float) -> dict[str, str]:
        return {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }


@dataclass(frozen=True)
class JwtBearer(Login):
    """A user logs in by a signature: ``grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer``.

    :param private_key: PEM text, as :func:`private_key.parse_private_key` returns it.
    :param audience: the assertion's ``aud``.
    """

    username: str
    private_key: str = field(repr=False)
    audience: str
    passphrase: str | None = field(default=None, repr=False)

    flow = "JWT bearer"
    causes = (
        (
            "approved",
            "The user is not pre-authorized for the app: let admin-approved users in, in the app's policies, and give "
            "the app to the user's profile or permission set. Or Login is no user of the org behind Extra login_url.",
        ),
        (
            "audience",
            "Extra audience must be https://login.salesforce.com for a production or developer org, "
            "https://test.salesforce.com for a sandbox, or the Experience Cloud site's URL.",
        ),
        ("expired", "The clock of this machine is wrong by minutes, so the assertion was out of date on arrival."),
        (
            "invalid assertion",
            "The private key does not belong to the certificate in the app's settings, or Extra client_id is another "
            "app's.",
        ),
    )

    def __str__(self) -> str:
        return f"{super().__str__()} (audience {self.audience})"

    @property
    def secrets(self) -> tuple[str, ...]:
        return (*private_key.shapes(self.private_key), *([self.passphrase] if self.passphrase else []))

    def form(self, now: float) -> dict[str, str]:
        import jwt

        claims = {
            "iss": self.client_id,
            "sub": self.username,
            "aud": self.audience,
            "exp": int(now) + ASSERTION_LIFETIME,
        }
        key = private_key.load(self.private_key, self.passphrase)
        return {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": jwt.encode(claims, key, algorithm="RS256"),
        }

    def form_secrets(self, form: Mapping[str, str]) -> tuple[str, ...]:
        return (form["assertion"],)


@dataclass(frozen=True)
class UserPassword(Login):
    """A user logs in with a password: ``grant_type=password``. Salesforce is retiring it."""

    username: str
    password: str = field(repr=False)
    client_secret: str = field(repr=False)

    flow = "user and password"
    note = RETIRING
    causes = (
        ("", "Login or Password is wrong, or the user's security token is not appended to Password."),
        (
            "",
            "The flow is blocked in the org (Setup, OAuth and OpenID Connect Settings), as it is by default in orgs "
            "made since Summer '23; or the app is an External Client App, which does not offer it.",
        ),
        ("", "The org is a Salesforce sandbox, and Extra login_url is not https://test.salesforce.com."),
    )

    @property
    def secrets(self) -> tuple[str, ...]:
        return self.password, self.client_secret

    def form(self, now: float) -> dict[str, str]:
        return {
            "grant_type": "password",
            "username": self.username,
            "password": self.password,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }


def default_audience(login_url: str) -> str:
    """The ``aud`` that Salesforce wants at a login server.

    Its help pages name three: production, sandbox, and the URL of an Experience Cloud site. An org's My Domain is
    none of them: there too, it is the production's or the sandbox's.
    """
    host = urlsplit(login_url).hostname or ""
    if not host.endswith((".salesforce.com", ".salesforce.mil")):
        return login_url
    if host == "test.salesforce.com" or re.search(r"--|\.(sandbox|scratch)\.my\.", host):
        return SANDBOX_LOGIN_URL
    return DEFAULT_LOGIN_URL
