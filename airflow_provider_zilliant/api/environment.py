"""One Zilliant environment: where it is, who we are there, and how a request to it is addressed and signed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from airflow_provider_zilliant import __version__
from airflow_provider_zilliant.api.http import Request
from airflow_provider_zilliant.api.login import TOKEN_PATH, Login
from airflow_provider_zilliant.api.redaction import proxy_secrets, spellings
from airflow_provider_zilliant.api.token import Token

_COMMON_HEADERS = {"Accept": "application/json", "User-Agent": f"airflow-provider-zilliant/{__version__}"}


@dataclass(frozen=True)
class Environment:
    """One Zilliant environment. Frozen and hashable: tokens are kept under it."""

    base_url: str
    token: Token | None = None
    login: Login | None = None
    oauth_host: str | None = None
    verify: bool | str = True
    proxies: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def headers(self, token: Token | None) -> dict[str, str]:
        """The headers of every request to this environment."""
        headers = dict(_COMMON_HEADERS)
        if token is not None:
            headers["Authorization"] = f"OAuth {token.header}"
        if self.oauth_host is not None:
            headers["X-Forwarded-Host"] = self.oauth_host
        return headers

    def sign(self, request: Request, token: Token | None) -> Request:
        """The request addressed to this environment, with the token in its headers."""
        secrets = self._secrets
        if token is not None:
            secrets = secrets | token.secrets if secrets else token.secrets
        return Request(
            method=request.method,
            url=self.base_url + request.url,
            json=request.json,
            headers=self.headers(token),
            verify=self.verify,
            proxies=self._proxies,
            secrets=secrets,
        )

    def login_request(self, now: float) -> Request:
        """``POST /services/oauth2/token``, form-encoded, to the login server. A signature takes some milliseconds.

        :param now: the time, in epoch seconds.
        """
        assert self.login is not None, "there is nothing to log in with"
        form = self.login.form(now)
        return Request(
            method="POST",
            url=self.login.url + TOKEN_PATH,
            form=form,
            headers=_COMMON_HEADERS,
            verify=self.verify,
            proxies=self._proxies,
            secrets=self._secrets | spellings(*self.login.form_secrets(form)),
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no log may hold, of the Connection itself."""
        return self.login.secrets if self.login else self.token.plain_secrets if self.token else ()

    @cached_property
    def _proxies(self) -> dict[str, str] | None:
        return dict(self.proxies) or None

    @cached_property
    def _secrets(self) -> frozenset[str]:
        proxies = (url for name, url in self.proxies if name != "no_proxy")
        return spellings(*(self.login.secrets if self.login else ())) | proxy_secrets(proxies)
