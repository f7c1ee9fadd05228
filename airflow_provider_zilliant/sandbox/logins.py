"""The Salesforce org beside the embedded Zilliant: who may log in, with which flow, and what it says to the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from airflow_provider_zilliant.sandbox.faults import Refused

OAUTH_HOST = "sandbox.my.salesforce.com"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: The login hosts that all orgs share. Every other name by which the sandbox is reached is the org's My Domain.
SHARED_HOSTS = ("localhost", "login.salesforce.com", "test.salesforce.com")
#: The most seconds for which an assertion may be good.
LONGEST_ASSERTION = 180


class Org:
    """What an administrator has set up.

    :param clock: returns the current time in epoch seconds.
    :param users: the users who may log in, and their passwords; ``None``: any non-empty pair may.
    :param clients: consumer keys and secrets of the apps; ``None``: any non-empty pair will do.
    :param refuse_password: block the flow user and password, as Salesforce will.
    :param has_run_as_user: whether the apps have a run-as user, for client credentials.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        users: Mapping[str, str] | None = None,
        clients: Mapping[str, str] | None = None,
        refuse_password: bool = False,
        has_run_as_user: bool = True,
    ) -> None:
        self._clock = clock
        self.users = users
        self.clients = clients
        self.refuse_password = refuse_password
        self.has_run_as_user = has_run_as_user

    def check(self, form: Mapping[str, str], url: str) -> None:
        """Lets a login pass.

        :param form: the body of ``POST /services/oauth2/token``.
        :param url: the address that the login went to: scheme, host and port.
        :raises Refused: with Salesforce's words.
        """
        flows: dict[str, Callable[[Mapping[str, str]], None]] = {
            "password": self._check_password,
            "client_credentials": lambda form: self._check_client_credentials(form, url),
            JWT_BEARER: lambda form: self._check_assertion(form, url),
        }
        flow = flows.get(form.get("grant_type", ""))
        if flow is None:
            raise _refused("unsupported_grant_type", "grant type not supported")
        flow(form)

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @cached_property
    def private_key(self) -> str:
        """The PEM text of the key with which assertions are to be signed."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    @cached_property
    def public_key(self) -> str:
        """The PEM text of the key that the org checks assertions with: in Salesforce, the app's certificate."""
        return (
            self._key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    def _check_password(self, form: Mapping[str, str]) -> None:
        self._check_client(form)
        user, password = form.get("username"), form.get("password")
        if not user or not password or (self.users is not None and self.users.get(user) != password):
            raise _refused("invalid_grant", "authentication failure")
        if self.refuse_password:
            raise _refused("invalid_grant", "authentication failure")

    def _check_client_credentials(self, form: Mapping[str, str], url: str) -> None:
        host = url.partition("//")[2].rsplit(":", 1)[0]
        if host in SHARED_HOSTS:
            raise _refused("invalid_grant", "request not supported on this domain")
        self._check_client(form)
        if not self.has_run_as_user:
            raise _refused("invalid_grant", "no client credentials user enabled")

    def _check_client(self, form: Mapping[str, str]) -> None:
        client, secret = form.get("client_id"), form.get("client_secret")
        if not client or (self.clients is not None and client not in self.clients):
            raise _refused("invalid_client_id", "client identifier invalid")
        if not secret or (self.clients is not None and self.clients[client] != secret):
            raise _refused("invalid_client", "invalid client credentials")

    def _check_assertion(self, form: Mapping[str, str], url: str) -> None:
        try:
            claims = jwt.decode(
                form.get("assertion", ""),
                self.public_key,
                algorithms=["RS256"],
                # Its times are checked by the sandbox's own clock, and whom it names below.
                options={
                    "require": ["iss", "sub", "aud", "exp"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                    "verify_aud": False,
                },
            )
        except jwt.InvalidTokenError:
            raise _refused("invalid_grant", "invalid assertion") from None
        if self.clients is not None and claims["iss"] not in self.clients:
            raise _refused("invalid_client_id", "client identifier invalid")
        if claims["aud"] not in ("https://login.salesforce.com", url):
            raise _refused("invalid_grant", "audience is invalid")
        if not isinstance(claims["exp"], int) or not 0 < claims["exp"] - self._clock() <= LONGEST_ASSERTION:
            raise _refused("invalid_grant", "expired authorization code")
        if not claims["sub"] or (self.users is not None and claims["sub"] not in self.users):
            raise _refused("invalid_grant", "user hasn't approved this consumer")


def _refused(error: str, description: str) -> Refused:
    return Refused(400, error=error, error_description=description)


def login_connection_to(url: str, flow: str, org: Org) -> dict[str, Any]:
    """An Airflow Connection to a sandbox that logs in, as JSON fields.

    :param flow: ``"client credentials"``, ``"JWT bearer"`` or ``"user and password"``.
    :param org: who may log in; where anybody may, the names are made up.
    """
    client, secret = next(iter((org.clients or {"the-app": "the-secret-of-the-app"}).items()))
    user, password = next(iter((org.users or {"publisher@example.com": "the-password"}).items()))
    extra = {"oauth_host": OAUTH_HOST, "login_url": url, "client_id": client}
    fields: dict[str, Any] = {"conn_type": "zilliant", "host": url}
    if flow == "JWT bearer":
        return {**fields, "login": user, "extra": {**extra, "private_key": org.private_key}}
    extra["client_secret"] = secret
    if flow == "user and password":
        return {**fields, "login": user, "password": password, "extra": extra}
    return {**fields, "extra": extra}
