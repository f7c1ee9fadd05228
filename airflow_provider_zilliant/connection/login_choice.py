"""Which login flow a Connection's filled fields choose, and the error for every other combination."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_zilliant.api import private_key
from airflow_provider_zilliant.api.login import (
    DEFAULT_LOGIN_URL,
    TOKEN_PATH,
    ClientCredentials,
    JwtBearer,
    Login,
    UserPassword,
    default_audience,
)
from airflow_provider_zilliant.api.urls import parse_origin
from airflow_provider_zilliant.connection.extra import text, whole_text
from airflow_provider_zilliant.exceptions import ZilliantConfigError

ID, SECRET, USER, PASSWORD = "Extra client_id", "Extra client_secret", "Login", "Password"
KEY, PASSPHRASE, AUDIENCE = private_key.FIELD, private_key.PASSPHRASE, "Extra audience"

#: What each flow needs; the fields of the other flows must be empty.
NEEDED: dict[type[Login], tuple[str, ...]] = {
    ClientCredentials: (ID, SECRET),
    JwtBearer: (USER, ID, KEY),
    UserPassword: (USER, PASSWORD, ID, SECRET),
}
#: What a flow may have beside it.
ALLOWED: dict[type[Login], tuple[str, ...]] = {JwtBearer: (PASSPHRASE, AUDIENCE)}


def parse_login(
    login: str | None,
    password: str | None,
    extra: Mapping[str, Any],
    *,
    oauth_host: str | None,
    allow_http: bool,
) -> Login | None:
    """The login that the fields describe; ``None`` if they describe none.

    :raises ZilliantConfigError: naming the fields that are wrong, missing or too many.
    """
    fields = {
        USER: login,
        PASSWORD: password,
        ID: text(extra, "client_id"),
        SECRET: text(extra, "client_secret"),
        KEY: whole_text(extra, "private_key"),
        PASSPHRASE: whole_text(extra, "private_key_passphrase"),
        AUDIENCE: text(extra, "audience"),
    }
    # White space alone is empty: Airflow cannot remove a stored Password, but takes a space for it.
    given = {name: value for name, value in fields.items() if value and value.strip()}
    if not given.keys() - {USER, PASSWORD}:
        return None
    for name, value in given.items():
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise ZilliantConfigError(f"{name}: contains an unpaired surrogate, which is not text")
    flow = _flow(given)
    login_url = text(extra, "login_url")
    if login_url is None and flow is ClientCredentials:
        if oauth_host is None:
            raise ZilliantConfigError(
                "Extra login_url: missing. Client credentials need the org's own My Domain, like "
                "https://mycompany.my.salesforce.com: enter it here or, without https://, as Extra oauth_host"
            )
        login_url = f"https://{oauth_host}"
    url = (login_url or DEFAULT_LOGIN_URL).rstrip("/").removesuffix(TOKEN_PATH)
    url = parse_origin(url, "Extra login_url", default_scheme="https", allow_http=allow_http)
    if flow is ClientCredentials:
        return ClientCredentials(url, given[ID], given[SECRET])
    if flow is UserPassword:
        return UserPassword(url, given[ID], given[USER], given[PASSWORD], given[SECRET])
    passphrase = given.get(PASSPHRASE)
    pem = private_key.parse_private_key(given[KEY], passphrase)
    return JwtBearer(url, given[ID], given[USER], pem, given.get(AUDIENCE) or default_audience(url), passphrase)


def _flow(given: Mapping[str, str]) -> type[Login]:
    for flow, needed in NEEDED.items():
        if set(needed) == given.keys() - set(ALLOWED.get(flow, ())):
            return flow
    raise ZilliantConfigError(_explain(given))


def _explain(given: Mapping[str, str]) -> str:
    """What is there, what the flow that it comes closest to lacks, and the three combinations."""
    meant: type[Login] = ClientCredentials
    if given.keys() & {KEY, PASSPHRASE, AUDIENCE}:
        meant = JwtBearer
    elif given.keys() & {USER, PASSWORD}:
        meant = UserPassword
    missing = [name for name in NEEDED[meant] if name not in given]
    surplus = [name for name in given if name not in (*NEEDED[meant], *ALLOWED.get(meant, ()))]
    needs = [f"{_list(missing)} {'is' if len(missing) == 1 else 'are'} missing"] if missing else []
    needs += [f"{_list(surplus)} must be empty"] if surplus else []
    hint = " (Airflow keeps a Password that is emptied: enter a space instead.)" if PASSWORD in surplus else ""
    wanted = f"For {meant.flow}, {' and '.join(needs)}.{hint}"
    lines = [f"  {flow.flow}: {_list(needed)}" for flow, needed in NEEDED.items()]
    return "\n".join(
        [
            f"{_list(given)}: no login has just these fields. {wanted} Fill one of",
            *lines,
            "and leave the others empty. (With none of the fields in Extra, Password is a token response.)",
        ]
    )


def _list(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else str(last)
