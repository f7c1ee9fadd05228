"""Logging in at Salesforce: ``POST /services/oauth2/token``, and what its replies mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_zilliant.api.http import NoReply, Reply, to_error
from airflow_provider_zilliant.api.token import Token, parse_token_response
from airflow_provider_zilliant.exceptions import ZilliantAuthError, ZilliantReplyError, ZilliantUnreachableError

DEFAULT_LOGIN_URL = "https://login.salesforce.com"
TOKEN_PATH = "/services/oauth2/token"


@dataclass(frozen=True)
class Login:
    """What the token endpoint needs for a login with user and password (``grant_type=password``)."""

    username: str
    password: str = field(repr=False)
    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    url: str

    @property
    def secrets(self) -> tuple[str, ...]:
        return self.password, self.client_secret

    @property
    def form(self) -> Mapping[str, str]:
        """The fields of the request's body."""
        return {
            "grant_type": "password",
            "username": self.username,
            "password": self.password,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }

    def read(self, reply: Reply | NoReply) -> Token:
        """The token in the login server's reply. If it fails, nothing has been sent to Zilliant yet.

        :raises ZilliantUnreachableError: no complete reply.
        :raises ZilliantAuthError: the login was refused.
        :raises ZilliantRequestError: the login server failed, or asks for fewer requests.
        :raises ZilliantReplyError: the reply contains no token.
        """
        doing = f"Logging in at {self.url}"
        if isinstance(reply, NoReply):
            raise ZilliantUnreachableError(
                f"no complete reply, and nothing was sent to Zilliant: {reply.reason}", doing=doing
            )
        if not reply.is_success:
            if reply.status >= 500 or reply.status == 429:
                raise to_error(reply, doing)
            refused = ZilliantAuthError(
                f"refused with {reply.status}: {reply.explanation or 'no reason given'}. Check the connection's "
                "Login, its Password (Salesforce may require the security token appended), and Extra client_id, "
                "client_secret and login_url (https://test.salesforce.com for a sandbox).",
                doing=doing,
                status_code=reply.status,
                message=reply.explanation,
            )
            refused.is_login = True
            raise refused
        try:
            token = parse_token_response(reply.body.decode())
        except UnicodeDecodeError:
            token = None
        if token is None or token.warning is not None:
            raise ZilliantReplyError("the reply contains no access_token. Check Extra login_url.", doing=doing)
        return token
