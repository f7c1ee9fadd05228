"""Each field of a Connection by name: the values it accepts, what they mean, and the error for a wrong one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_provider_zilliant.api.environment import Environment
from airflow_provider_zilliant.api.token import parse_json_object, parse_token, require_header_value
from airflow_provider_zilliant.api.urls import is_proxy, parse_origin
from airflow_provider_zilliant.connection.extra import flag, text
from airflow_provider_zilliant.connection.login_choice import parse_login
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
    allow_http = flag(extra, "allow_http", default=False)
    oauth_host = text(extra, "oauth_host")
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
    if given := parse_login(login, password, extra, oauth_host=oauth_host, allow_http=allow_http):
        return replace(environment, login=given)
    return replace(environment, token=parse_token(password)) if password and password.strip() else environment


def _parse_base_url(host: str | None, port: int | None, schema: str | None, *, allow_http: bool) -> str:
    if host is None or not host.strip():
        raise ZilliantConfigError(
            "Host: missing. Enter the environment's base URL, like https://mycompany.zilliant.com"
        )
    scheme = (schema or "").strip().lower() or "https"
    if scheme not in ("http", "https"):
        raise ZilliantConfigError("Schema: expected https or http")
    return parse_origin(host.strip(), "Host", default_scheme=scheme, port=port, allow_http=allow_http)


def _parse_verify(extra: Mapping[str, Any]) -> bool | str:
    value = extra.get("verify")
    if isinstance(value, str) and value.strip().lower() not in ("", "true", "false"):
        return value.strip()
    try:
        return flag(extra, "verify", default=True)
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
