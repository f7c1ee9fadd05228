"""Parses the values of a Connection's fields, or names the field that is wrong. No I/O, no Airflow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_provider_zilliant.api.environment import Environment
from airflow_provider_zilliant.api.login import DEFAULT_LOGIN_URL, TOKEN_PATH, Login
from airflow_provider_zilliant.api.token import parse_json_object, parse_token, require_header_value
from airflow_provider_zilliant.api.urls import is_proxy, parse_origin
from airflow_provider_zilliant.exceptions import ZilliantConfigError


def parse_environment(
    *,
    host: str | None,
    port: int | None = None,
    schema: str | None = None,
    login: str | None = None,
    password: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Environment:
    """The environment that the fields of an Airflow Connection describe.

    :raises ZilliantConfigError: naming the field that is wrong.
    """
    extra = extra or {}
    allow_http = _flag(extra, "allow_http", default=False)
    oauth_host = _text(extra, "oauth_host")
    base_url = _parse_base_url(host, port, schema, allow_http=allow_http)
    if oauth_host is not None:
        require_header_value(oauth_host, "Extra oauth_host")
        oauth_host = re.sub(r"^https?://|/$", "", oauth_host)
        if not re.fullmatch(r"[A-Za-z0-9._\-]+(:\d+)?", oauth_host, re.ASCII):
            raise ZilliantConfigError("Extra oauth_host: expected a host name, like mycompany-dev.my.salesforce.com")
    environment = Environment(
        base_url=base_url,
        oauth_host=oauth_host,
        verify=_parse_verify(extra),
        proxies=_parse_proxies(extra),
    )
    if _text(extra, "client_id") is not None or _text(extra, "client_secret") is not None:
        return replace(environment, login=_parse_login(login, password, extra, allow_http=allow_http))
    return replace(environment, token=parse_token(password)) if password and password.strip() else environment


def _parse_login(login: str | None, password: str | None, extra: Mapping[str, Any], *, allow_http: bool) -> Login:
    given = {
        "Login": login,
        "Password": password,
        "Extra client_id": _text(extra, "client_id"),
        "Extra client_secret": _text(extra, "client_secret"),
    }
    missing = [name for name, value in given.items() if not value]
    if missing:
        raise ZilliantConfigError(
            f"{' and '.join(missing)}: missing. To log in, the connection needs Login, Password, and client_id and "
            "client_secret in Extra. To use a token response instead, put it into Password and remove client_id and "
            "client_secret."
        )
    for name, value in given.items():
        if value and any("\ud800" <= character <= "\udfff" for character in value):
            raise ZilliantConfigError(f"{name}: contains an unpaired surrogate, which is not text")
    url = (_text(extra, "login_url") or DEFAULT_LOGIN_URL).rstrip("/").removesuffix(TOKEN_PATH)
    return Login(
        username=given["Login"] or "",
        password=given["Password"] or "",
        client_id=given["Extra client_id"] or "",
        client_secret=given["Extra client_secret"] or "",
        url=parse_origin(url, "Extra login_url", default_scheme="https", allow_http=allow_http),
    )


def _parse_base_url(host: str | None, port: int | None, schema: str | None, *, allow_http: bool) -> str:
    if host is None or not host.strip():
        raise ZilliantConfigError(
            "Host: missing. Enter the environment's base URL, like https://mycompany.zilliant.com"
        )
    scheme = (schema or "").strip().lower() or "https"
    if scheme not in ("http", "https"):
        raise ZilliantConfigError("Schema: expected https or http")
    return parse_origin(host.strip(), "Host", default_scheme=scheme, port=port, allow_http=allow_http)


def _text(extra: Mapping[str, Any], key: str) -> str | None:
    value = extra.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ZilliantConfigError(f"Extra {key}: expected text, not {type(value).__name__}")
    if "\n" in value or "\r" in value:
        raise ZilliantConfigError(f"Extra {key}: contains a newline")
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


def _parse_verify(extra: Mapping[str, Any]) -> bool | str:
    value = extra.get("verify")
    if isinstance(value, str) and value.strip().lower() not in ("", "true", "false"):
        return value.strip()
    try:
        return _flag(extra, "verify", default=True)
    except ZilliantConfigError:
        raise ZilliantConfigError("Extra verify: expected true, false, or the path of a CA bundle") from None


def _parse_proxies(extra: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    value = extra.get("proxies")
    if value is None or (isinstance(value, str) and not value.strip()):
        return ()
    if isinstance(value, str):  # as a form saves it
        value = parse_json_object(value)
    if not isinstance(value, Mapping) or not all(
        isinstance(key, str) and (key == "no_proxy" or is_proxy(url)) for key, url in value.items()
    ):
        raise ZilliantConfigError(
            'Extra proxies: expected a JSON object like {"https": "http://proxy:3128"}, with http or https URLs; '
            "percent-encode special characters in a password"
        )
    return tuple(sorted(value.items()))
