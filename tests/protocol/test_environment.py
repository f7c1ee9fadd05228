"""A Connection's fields, row by row: address, token, login, and what is refused."""

from __future__ import annotations

import base64
import json
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_zilliant.api.http import Request
from airflow_provider_zilliant.api.token import parse_token
from airflow_provider_zilliant.connection.fields import parse_environment
from airflow_provider_zilliant.exceptions import ZilliantConfigError

RESPONSE = {
    "access_token": "00D!the-access-token",
    "instance_url": "https://mycompany-dev.my.salesforce.com",
    "id": "https://login.salesforce.com/id/00D/005",
    "token_type": "Bearer",
    "issued_at": "1767600000000",
    "signature": "c2lnbmF0dXJl",
}
TEXT = json.dumps(RESPONSE)
ENCODED = base64.b64encode(TEXT.encode()).decode()
LOGIN = {"client_id": "client", "client_secret": "hidden-secret"}


def authorization(password: str) -> str:
    environment = parse_environment(host="zilliant.example", password=password)
    return environment.sign(Request(method="GET", url="/"), environment.token).headers["Authorization"]


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "https://mycompany.zilliant.com"}, "https://mycompany.zilliant.com"),
        ({"host": "https://mycompany.zilliant.com/"}, "https://mycompany.zilliant.com"),
        ({"host": "mycompany.zilliant.com"}, "https://mycompany.zilliant.com"),
        ({"host": " mycompany.zilliant.com/ "}, "https://mycompany.zilliant.com"),
        ({"host": "mycompany.zilliant.com:8443"}, "https://mycompany.zilliant.com:8443"),
        ({"host": "https://mycompany.zilliant.com:8443/"}, "https://mycompany.zilliant.com:8443"),
        ({"host": "mycompany.zilliant.com", "port": 8443}, "https://mycompany.zilliant.com:8443"),
        ({"host": "https://mycompany.zilliant.com:8443", "port": 8443}, "https://mycompany.zilliant.com:8443"),
        ({"host": "https://mycompany.zilliant.com", "port": 443}, "https://mycompany.zilliant.com"),
        ({"host": "https://mycompany.zilliant.com:443"}, "https://mycompany.zilliant.com"),
        ({"host": "https://mycompany.zilliant.com", "port": 80}, "https://mycompany.zilliant.com:80"),
        ({"host": "https://mycompany.zilliant.com:8443", "port": 0}, "https://mycompany.zilliant.com:8443"),
        ({"host": "http://localhost", "port": 80}, "http://localhost"),
        ({"host": "mycompany.zilliant.com", "schema": "https"}, "https://mycompany.zilliant.com"),
        ({"host": "localhost", "schema": "http", "port": 8090}, "http://localhost:8090"),
        ({"host": "http://127.0.0.1:8090"}, "http://127.0.0.1:8090"),
        ({"host": "http://[::1]:8090"}, "http://[::1]:8090"),
        ({"host": "::1", "schema": "http", "port": 8090}, "http://[::1]:8090"),
        ({"host": "http://zilliant.internal", "extra": {"allow_http": True}}, "http://zilliant.internal"),
        ({"host": "http://zilliant.internal", "extra": {"allow_http": "true"}}, "http://zilliant.internal"),
        ({"host": "http://zilliant.internal", "extra": {"allow_http": "y"}}, "http://zilliant.internal"),
    ],
)
def test_the_base_url(fields, url):
    assert parse_environment(**fields).base_url == url


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"host": None}, "Host: missing"),
        ({"host": "  "}, "Host: missing"),
        ({"host": "https://"}, "Host"),
        ({"host": "my company.zilliant.com"}, "Host"),
        ({"host": "ftp://mycompany.zilliant.com"}, "Host"),
        ({"host": "mycompany.zilliant.com:port"}, "Host"),
        ({"host": "mycompany.zilliant.com/api/v1"}, "path"),
        ({"host": "mycompany.zilliant.com?x=1"}, "path or a query"),
        ({"host": "https://user:hunter22@mycompany.zilliant.com"}, "plain text"),
        ({"host": "mycompany.zilliant.com\nX-Evil: 1"}, "Host"),
        ({"host": "https://mycompany.zilliant.com:8443", "port": 443}, "Port"),
        ({"host": "mycompany.zilliant.com", "port": 70000}, "Port"),
        ({"host": "mycompany.zilliant.com", "schema": "ftp"}, "Schema"),
        ({"host": "http://mycompany.zilliant.com"}, "plain http"),
        ({"host": "mycompany.zilliant.com", "schema": "http"}, "plain http"),
        ({"host": "z.example", "password": "not a\ntoken"}, "Password"),
        ({"host": "z.example", "password": "tökén!"}, "Password"),
        ({"host": "z.example", "extra": {"oauth_host": "a.example\r\nX-Evil: 1"}}, "oauth_host"),
        ({"host": "z.example", "extra": {"oauth_host": "a.example/path"}}, "oauth_host"),
        ({"host": "z.example", "extra": {"oauth_host": 5}}, "oauth_host"),
        ({"host": "z.example", "extra": {"allow_http": "perhaps"}}, "allow_http"),
        ({"host": "z.example", "extra": {"verify": 5}}, "verify"),
        ({"host": "z.example", "extra": {"proxies": "http://proxy"}}, "proxies"),
        ({"host": "z.example", "extra": {"proxies": {"https": 5}}}, "proxies"),
        ({"host": "z.example", "extra": {"proxies": {"https": "http://user:hunter22#x@proxy:3128"}}}, "proxies"),
        ({"host": "z.example", "extra": {"proxies": {"https": "http://[::1"}}}, "proxies"),
        ({"host": "z.example", "extra": {"proxies": {"https": "socks5://proxy:1080"}}}, "proxies"),
        ({"host": "z.example", "extra": {"client_id": "client"}}, "client_secret"),
        ({"host": "z.example", "extra": {"client_secret": "hidden-secret"}}, "client_id"),
        ({"host": "z.example", "login": "me", "extra": LOGIN}, "Password"),
        ({"host": "z.example", "password": "hunter22", "extra": LOGIN}, "Login"),
        (
            {
                "host": "z.example",
                "login": "me",
                "password": "hunter22",
                "extra": {**LOGIN, "login_url": "http://login.example"},
            },
            "login_url",
        ),
    ],
)
def test_a_broken_connection_is_named_by_its_field_and_shows_no_secret(fields, named):
    with pytest.raises(ZilliantConfigError, match=named) as caught:
        parse_environment(**fields)
    assert isinstance(caught.value, ValueError)
    assert not any(secret in str(caught.value) for secret in ("hunter22", "hidden-secret", "tökén"))


@pytest.mark.parametrize("empty", [None, "", " "])
def test_what_a_form_saves_for_fields_left_empty_means_that_they_are_not_given(empty):
    names = ("oauth_host", "client_id", "client_secret", "login_url", "verify", "proxies", "allow_http")
    environment = parse_environment(host="z.example", password=TEXT, extra=dict.fromkeys(names, empty))
    assert environment == parse_environment(host="z.example", password=TEXT)
    assert (environment.verify, environment.proxies, environment.login) == (True, (), None)


@pytest.mark.parametrize(
    ("saved", "verify"),
    [("true", True), ("True", True), ("false", False), (" FALSE ", False), (False, False), ("/ca.pem", "/ca.pem")],
)
def test_verify_as_a_form_saves_it(saved, verify):
    assert parse_environment(host="z.example", extra={"verify": saved}).verify == verify


@pytest.mark.parametrize("saved", ['{"https": "http://proxy:3128"}', {"https": "http://proxy:3128"}])
def test_proxies_as_a_form_saves_them(saved):
    assert parse_environment(host="z.example", extra={"proxies": saved}).proxies == (("https", "http://proxy:3128"),)


def test_a_token_that_a_form_has_put_on_one_line_is_still_one():
    pasted = json.dumps(RESPONSE, indent=2).replace("\n", "")
    assert json.loads(base64.b64decode(authorization(pasted).removeprefix("OAuth "))) == RESPONSE


def test_json_is_encoded_as_it_stands():
    text = json.dumps(RESPONSE, indent=2) + "\n"
    assert authorization(text) == "OAuth " + base64.b64encode(text.encode()).decode()


def test_the_whole_response_is_encoded_not_only_the_access_token():
    sent = authorization(TEXT).removeprefix("OAuth ")
    assert json.loads(base64.b64decode(sent)) == RESPONSE


@pytest.mark.parametrize("wrapped", [ENCODED, f" {ENCODED}\n", "\n".join(textwrap.wrap(ENCODED, 64))])
def test_base64_goes_out_as_it_stands_and_unwrapped(wrapped):
    assert authorization(wrapped) == f"OAuth {ENCODED}"
    assert parse_token(wrapped).warning is None


@pytest.mark.parametrize(
    "odd", ["00D!only-an-access-token", "OAuth " + ENCODED, base64.b64encode(b"00D!access").decode(), '{"error": "x"}']
)
def test_anything_else_goes_out_with_a_warning(odd):
    token = parse_token(odd)
    assert token.warning is not None
    assert "complete Salesforce token response" in token.warning
    assert odd not in token.warning
    if not odd.startswith("{"):
        assert authorization(odd) == f"OAuth {odd}"


def test_without_a_token_there_is_no_authorization():
    environment = parse_environment(host="zilliant.example")
    headers = environment.sign(Request(method="GET", url="/"), environment.token).headers
    assert "Authorization" not in headers
    assert "X-Forwarded-Host" not in headers


@pytest.mark.parametrize("given_host", ["a-dev.my.salesforce.com", "https://a-dev.my.salesforce.com/"])
def test_the_oauth_host_is_forwarded(given_host):
    environment = parse_environment(host="z.example", extra={"oauth_host": given_host})
    assert environment.headers(None)["X-Forwarded-Host"] == "a-dev.my.salesforce.com"


def test_the_login_request_is_form_encoded():
    environment = parse_environment(host="z.example", login="me@x.com", password="a b&c+d%e=ü", extra=LOGIN)
    request = environment.login_request(0.0)
    assert request.url == "https://login.salesforce.com/services/oauth2/token"
    assert request.body == (
        b"grant_type=password&username=me%40x.com&password=a+b%26c%2Bd%25e%3D%C3%BC&client_id=client"
        b"&client_secret=hidden-secret"
    )


def test_no_repr_holds_a_secret():
    login = parse_environment(host="z.example", login="me", password="hunter22", extra=LOGIN)
    token = parse_environment(host="z.example", password=TEXT, extra={"proxies": {"https": "http://u:hunter22@p"}})
    shown = repr([login, token, login.login_request(0.0), token.sign(Request(method="GET", url="/"), token.token)])
    assert not any(secret in shown for secret in ("hunter22", "hidden-secret", "the-access-token", ENCODED))


@given(
    host=st.text(),
    port=st.none() | st.integers(),
    schema=st.none() | st.text(),
    login=st.none() | st.text(),
    password=st.none() | st.text(),
    extra=st.dictionaries(
        st.sampled_from(["oauth_host", "client_id", "client_secret", "login_url", "verify", "proxies", "allow_http"]),
        st.none() | st.booleans() | st.integers() | st.text() | st.dictionaries(st.text(), st.text()),
    ),
)
def test_no_connection_however_odd_ends_in_anything_but_a_clear_error(host, port, schema, login, password, extra):
    try:
        environment = parse_environment(
            host=host, port=port, schema=schema, login=login, password=password, extra=extra
        )
        request = environment.sign(Request(method="GET", url="/"), environment.token)
    except ZilliantConfigError:
        return
    for value in request.headers.values():
        assert value.isascii()
        assert value.isprintable()
