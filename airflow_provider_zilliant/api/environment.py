"""One Zilliant environment as a Connection describes it: where it is, who we are there, how to get there."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_zilliant import __version__
from airflow_provider_zilliant.api.http import Request, spellings
from airflow_provider_zilliant.exceptions import ZilliantConfigError

DEFAULT_LOGIN_URL = "https://login.salesforce.com"
TOKEN_PATH = "/services/oauth2/token"

_TOKEN_EXPECTED = (
    "Password is not a whole Salesforce token response, neither as JSON text nor as its Base64. It is sent as it "
    "stands, and Zilliant answers 401 to such. Expected is the entire JSON body that the token "
    'endpoint answered, {"access_token": ..., "instance_url": ..., ...}, or the Base64 of all of it '
    "(not of the access_token alone, and without a leading 'OAuth')."
)


@dataclass(frozen=True)
class Token:
    """A token response as the ``Authorization`` header wants it.

    :param header: the value behind ``OAuth``.
    :param words: the secret words in it.
    :param oauth_host: host of the response's ``instance_url``, where it has one.
    :param warning: what is odd about it, where something is.
    """

    header: str = field(repr=False)
    words: tuple[str, ...] = field(default=(), repr=False)
    oauth_host: str | None = None
    warning: str | None = None

    @cached_property
    def secrets(self) -> frozenset[str]:
        """What of it a server could echo and no message may hold."""
        return spellings(self.header, *self.words)


@dataclass(frozen=True)
class Login:
    """What the token endpoint wants to see (``grant_type=password``)."""

    username: str
    password: str = field(repr=False)
    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    url: str


@dataclass(frozen=True)
class Environment:
    """One Zilliant environment. Frozen and hashable: it is the key under which a token is kept."""

    base_url: str
    token: Token | None = None
    login: Login | None = None
    oauth_host: str | None = None
    verify: bool | str = True
    proxies: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def headers(self, token: Token | None) -> dict[str, str]:
        """The headers of every request to this environment."""
        headers = {"Accept": "application/json", "User-Agent": f"airflow-provider-zilliant/{__version__}"}
        if token is not None:
            headers["Authorization"] = f"OAuth {token.header}"
        if self.oauth_host is not None:
            headers["X-Forwarded-Host"] = self.oauth_host
        return headers

    def sign(self, request: Request, token: Token | None) -> Request:
        """The request addressed to this environment, with the token in its headers."""
        secrets = self._secrets | token.secrets if token else self._secrets
        return self._request(request.method, self.base_url + request.url, self.headers(token), secrets, request.json)

    def login_request(self) -> Request:
        """``POST /services/oauth2/token``, form-encoded, to the login server."""
        login = self.login
        assert login is not None, "there is nothing to log in with"
        form = {
            "grant_type": "password",
            "username": login.username,
            "password": login.password,
            "client_id": login.client_id,
            "client_secret": login.client_secret,
        }
        headers = {"Accept": "application/json", "User-Agent": f"airflow-provider-zilliant/{__version__}"}
        return self._request("POST", login.url + TOKEN_PATH, headers, self._secrets, form=form)

    def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        secrets: frozenset[str],
        json: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Request:
        return Request(method, url, json, form, headers, self.verify, dict(self.proxies) or None, secrets)

    @cached_property
    def _secrets(self) -> frozenset[str]:
        proxy_passwords = (urlsplit(url).password or "" for name, url in self.proxies if name != "no_proxy")
        login = (self.login.password, self.login.client_secret) if self.login else ()
        return spellings(*login, *proxy_passwords)


def read_token(text: str) -> Token:
    """The Password field in token mode: a token response as JSON text or as Base64.

    :raises ZilliantConfigError: if it cannot be a header value.
    """
    if _as_response(text) is not None:
        return token_of_response(text)
    compact = "".join(text.split())
    decoded = _decoded(compact)
    if decoded is None:
        header, inner = text.strip(), ""
    else:
        header, inner = compact, decoded
    _require_header_value(header, "Password")
    response = _as_response(inner)
    if response is None:
        return Token(header, words=(inner,) if inner else (), warning=_TOKEN_EXPECTED)
    return replace(token_of_response(inner), header=header)


def token_of_response(text: str) -> Token:
    """The whole JSON text of a token response, Base64-encoded as it stands."""
    response = _as_response(text) or {}
    header = base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()
    words = [v for k, v in response.items() if isinstance(v, str) and ("token" in k or k == "signature")]
    words = [word for word in words if word != response.get("token_type")]
    instance = response.get("instance_url")
    return Token(
        header,
        words=(text, *words),
        oauth_host=_hostname(instance) if isinstance(instance, str) else None,
        warning=None if _is_word(response.get("access_token")) else _TOKEN_EXPECTED,
    )


def environment_of(
    *,
    host: str | None,
    port: int | None = None,
    schema: str | None = None,
    login: str | None = None,
    password: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Environment:
    """Reads the fields of an Airflow Connection.

    :raises ZilliantConfigError: naming the field that is wrong.
    """
    extra = extra or {}
    allow_http = _flag(extra, "allow_http", default=False)
    oauth_host = _text(extra, "oauth_host")
    base_url = _base_url(host, port, schema, allow_http=allow_http)
    if oauth_host is not None:
        _require_header_value(oauth_host, "Extra oauth_host")
        oauth_host = re.sub(r"^https?://|/$", "", oauth_host)
        if not re.fullmatch(r"[A-Za-z0-9._\-]+(:\d+)?", oauth_host, re.ASCII):
            raise ZilliantConfigError("Extra oauth_host: expected a host name, such as mycompany-dev.my.salesforce.com")
    environment = Environment(
        base_url=base_url,
        oauth_host=oauth_host,
        verify=_verify(extra),
        proxies=_proxies(extra),
    )
    if _text(extra, "client_id") is not None or _text(extra, "client_secret") is not None:
        return replace(environment, login=_login(login, password, extra, allow_http=allow_http))
    return replace(environment, token=read_token(password)) if password and password.strip() else environment


def _login(login: str | None, password: str | None, extra: Mapping[str, Any], *, allow_http: bool) -> Login:
    given = {
        "Login": login,
        "Password": password,
        "Extra client_id": _text(extra, "client_id"),
        "Extra client_secret": _text(extra, "client_secret"),
    }
    missing = [name for name, value in given.items() if not value]
    if missing:
        raise ZilliantConfigError(
            f"{' and '.join(missing)}: missing. To log in, the connection needs Login, Password, and in Extra "
            "client_id and client_secret; to use a token response instead, put it into Password and leave "
            "client_id and client_secret out."
        )
    for name, value in given.items():
        if value and any("\ud800" <= character <= "\udfff" for character in value):
            raise ZilliantConfigError(f"{name}: holds half of a surrogate pair, which is not text")
    url = (_text(extra, "login_url") or DEFAULT_LOGIN_URL).rstrip("/").removesuffix(TOKEN_PATH)
    return Login(
        username=given["Login"] or "",
        password=given["Password"] or "",
        client_id=given["Extra client_id"] or "",
        client_secret=given["Extra client_secret"] or "",
        url=_origin(url, "Extra login_url", default_scheme="https", allow_http=allow_http),
    )


def _base_url(host: str | None, port: int | None, schema: str | None, *, allow_http: bool) -> str:
    if host is None or not host.strip():
        raise ZilliantConfigError(
            "Host: missing. Expected is the environment's base URL, such as https://mycompany.zilliant.com"
        )
    scheme = (schema or "").strip().lower() or "https"
    if scheme not in ("http", "https"):
        raise ZilliantConfigError("Schema: expected https or http")
    return _origin(_bracketed(host.strip()), "Host", default_scheme=scheme, port=port, allow_http=allow_http)


def _origin(text: str, field_name: str, *, default_scheme: str, allow_http: bool, port: int | None = None) -> str:
    """``scheme://host[:port]``, or an error that names the field."""
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ZilliantConfigError(f"{field_name}: holds white space, a newline or another control character")
    has_scheme = "://" in text
    try:
        url = urlsplit(text if has_scheme else f"{default_scheme}://{text}")
        url_port, hostname = url.port, url.hostname
    except ValueError:
        raise ZilliantConfigError(
            f"{field_name}: is not a URL; expected is one such as {_example(field_name)}"
        ) from None
    if "@" in url.netloc:
        raise ZilliantConfigError(
            f"{field_name}: holds credentials (user:password@). Take them out and use Login, Password and Extra. "
            f"Airflow has stored this field in plain text: consider what stood there known, and change it."
        )
    if url.scheme not in ("http", "https") or not hostname or set("\\<>\"'{}|^`,;") & set(hostname):
        raise ZilliantConfigError(f"{field_name}: expected a URL such as {_example(field_name)}")
    if url.path not in ("", "/") or url.query or url.fragment or "?" in text or "#" in text:
        raise ZilliantConfigError(
            f"{field_name}: has a path or a query; expected is the bare address, such as {_example(field_name)}"
        )
    port = port or None  # Airflow's forms and URIs take 0 for none
    if port is not None and url_port is not None and port != url_port:
        raise ZilliantConfigError(f"Port: is {port}, but {field_name} says {url_port}; leave one of them out")
    port = port if port is not None else url_port
    if port is not None and not 0 < port < 65536:
        raise ZilliantConfigError(f"Port: expected 1 to 65535, not {port}")
    if url.scheme == "http" and not allow_http and not _is_loopback(hostname):
        raise ZilliantConfigError(
            f"{field_name}: plain http would send the token readable by anyone on the way. Use https, or set "
            "Extra allow_http to true if the network is safe without."
        )
    shown = f"[{hostname}]" if ":" in hostname else hostname
    is_default = port is None or port == {"https": 443, "http": 80}[url.scheme]
    return f"{url.scheme}://{shown}" + ("" if is_default else f":{port}")


def _example(field_name: str) -> str:
    return "https://mycompany.zilliant.com" if field_name == "Host" else DEFAULT_LOGIN_URL


def _bracketed(host: str) -> str:
    """An IPv6 address as a URL wants it."""
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host


def _is_loopback(hostname: str) -> bool:
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return hostname == "localhost" or hostname.endswith(".localhost")


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url if "://" in url else f"https://{url}").hostname
    except ValueError:
        return None


def _as_response(text: str) -> dict[str, Any] | None:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _decoded(compact: str) -> str | None:
    """The text behind a Base64 string, or ``None`` where it is not Base64."""
    try:
        return base64.b64decode(compact, validate=True).decode("utf-8", "replace") if compact else None
    except (binascii.Error, ValueError):
        return None


def _is_word(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _require_header_value(value: str, field_name: str) -> None:
    if not value.isascii() or not value.isprintable():
        raise ZilliantConfigError(
            f"{field_name}: holds a newline, a control character or a letter that cannot stand in an HTTP header"
        )


def _text(extra: Mapping[str, Any], key: str) -> str | None:
    value = extra.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ZilliantConfigError(f"Extra {key}: expected text, not {type(value).__name__}")
    if "\n" in value or "\r" in value:
        raise ZilliantConfigError(f"Extra {key}: holds a newline")
    return value.strip() or None


def _flag(extra: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = extra.get(key)
    if isinstance(value, str):  # the form of Airflow 2.11 tests a ticked box as "y"
        value = {"": None, "true": True, "y": True, "false": False}.get(value.strip().lower(), value)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ZilliantConfigError(f"Extra {key}: expected true or false")
    return value


def _verify(extra: Mapping[str, Any]) -> bool | str:
    value = extra.get("verify")
    if isinstance(value, str) and value.strip().lower() not in ("", "true", "false"):
        return value.strip()
    try:
        return _flag(extra, "verify", default=True)
    except ZilliantConfigError:
        raise ZilliantConfigError("Extra verify: expected true, false, or the path of a CA bundle") from None


def _proxies(extra: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    value = extra.get("proxies")
    if value is None or (isinstance(value, str) and not value.strip()):
        return ()
    if isinstance(value, str):  # as a form saves it
        value = _as_response(value)
    if not isinstance(value, Mapping) or not all(
        isinstance(key, str) and (key == "no_proxy" or _is_proxy(url)) for key, url in value.items()
    ):
        raise ZilliantConfigError(
            'Extra proxies: expected an object such as {"https": "http://proxy:3128"}, with http or https '
            "URLs in which the special characters of a password are percent-encoded"
        )
    return tuple(sorted(value.items()))


def _is_proxy(url: object) -> bool:
    """Whether worker and triggerer can both use it."""
    if not isinstance(url, str) or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_bare = parts.path in ("", "/") and not parts.query and not parts.fragment
    return bool(parts.hostname) and port_is_good and is_bare and parts.scheme in ("http", "https")
