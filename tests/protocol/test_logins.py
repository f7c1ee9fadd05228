"""The three flows: which one follows from the fields, what it sends, and what a refusal says."""

from __future__ import annotations

import base64
import json
import pickle
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_zilliant.api.http import NoReply, Reply
from airflow_provider_zilliant.api.login import (
    ClientCredentials,
    JwtBearer,
    Login,
    UserPassword,
    default_audience,
)
from airflow_provider_zilliant.connection.fields import parse_environment
from airflow_provider_zilliant.exceptions import (
    ZilliantAuthError,
    ZilliantConfigError,
    ZilliantError,
    ZilliantRateLimitError,
    ZilliantReplyError,
    ZilliantServerError,
    ZilliantUnreachableError,
)
from airflow_provider_zilliant.waits.watching import is_transient
from tests.harness import keys

TOKEN = json.dumps({"access_token": "00D!token", "instance_url": "https://a.my.salesforce.com"})
PEM, CUT = keys.pem(), keys.pem()[:900]
FIELDS = {
    "login": "me@example.com",
    "password": "the-password",
    "client_id": "the-client",
    "client_secret": "the-secret",
    "private_key": PEM,
    "private_key_passphrase": "the-passphrase",
    "audience": "https://test.salesforce.com",
}
CLIENT_CREDENTIALS = ("client_id", "client_secret")
JWT = ("login", "client_id", "private_key")
PASSWORD = ("login", "password", "client_id", "client_secret")


def environment(**fields: Any) -> Any:
    standard = {name: fields.pop(name) for name in ("login", "password", "host") if name in fields}
    return parse_environment(**{"host": "z.example", **standard}, extra=fields)


def login_of(*names: str, **others: Any) -> Login:
    return environment(oauth_host="a.my.salesforce.com", **{name: FIELDS[name] for name in names}, **others).login


@pytest.mark.parametrize(
    ("names", "flow"),
    [
        (CLIENT_CREDENTIALS, ClientCredentials),
        (JWT, JwtBearer),
        ((*JWT, "private_key_passphrase"), JwtBearer),
        ((*JWT, "audience"), JwtBearer),
        (PASSWORD, UserPassword),
        ((), type(None)),
        (("password",), type(None)),
        (("login", "password"), type(None)),
        (("login",), type(None)),
    ],
)
def test_the_flow_follows_from_the_fields_that_are_filled(names, flow):
    assert type(login_of(*names)) is flow


KNOWN = [
    set(),
    {"login"},
    {"password"},
    {"login", "password"},
    set(CLIENT_CREDENTIALS),
    set(PASSWORD),
    *(set(JWT) | more for more in ({"private_key_passphrase"}, {"audience"}, set())),
    {*JWT, "private_key_passphrase", "audience"},
]


@given(names=st.sets(st.sampled_from(sorted(FIELDS))), empty=st.sampled_from([None, "", " "]))
def test_every_other_combination_says_what_is_there_and_what_is_missing_and_the_three(names, empty):
    given_fields = {name: value if name in names else empty for name, value in FIELDS.items()}
    if names in KNOWN:
        environment(oauth_host="a.my.salesforce.com", **given_fields)
        return
    with pytest.raises(ZilliantConfigError) as caught:
        environment(oauth_host="a.my.salesforce.com", **given_fields)
    there, *rest = str(caught.value).split(": no login has just these fields. ")
    assert rest
    shown = {name: name.capitalize() if name in ("login", "password") else f"Extra {name}" for name in FIELDS}
    words = set(there.replace(" and ", ", ").split(", "))
    assert words == {shown[name] for name in names}
    assert "missing" in rest[0] or "must be empty" in rest[0]
    wants_none = "password" in names and bool(names & {"private_key", "private_key_passphrase", "audience"})
    assert ("Airflow keeps a Password that is emptied" in rest[0]) == wants_none
    assert [line.split(":")[0].strip() for line in rest[0].splitlines()[1:4]] == [
        "client credentials",
        "JWT bearer",
        "user and password",
    ]
    assert not any(FIELDS[name] in str(caught.value) for name in ("password", "client_secret", "private_key"))


def test_such_an_error_read_as_a_whole():
    with pytest.raises(ZilliantConfigError) as caught:
        login_of("client_id", "client_secret", "private_key")
    assert str(caught.value) == (
        "Extra client_id, Extra client_secret and Extra private_key: no login has just these fields. For JWT bearer, "
        "Login is missing and Extra client_secret must be empty. Fill one of\n"
        "  client credentials: Extra client_id and Extra client_secret\n"
        "  JWT bearer: Login, Extra client_id and Extra private_key\n"
        "  user and password: Login, Password, Extra client_id and Extra client_secret\n"
        "and leave the others empty. (With none of the fields in Extra, Password is a token response.)"
    )


@pytest.mark.parametrize(
    ("names", "login_url", "url"),
    [
        (CLIENT_CREDENTIALS, None, "https://a.my.salesforce.com"),
        (CLIENT_CREDENTIALS, "https://b.my.salesforce.com/", "https://b.my.salesforce.com"),
        (JWT, None, "https://login.salesforce.com"),
        (PASSWORD, None, "https://login.salesforce.com"),
        (PASSWORD, "test.salesforce.com/services/oauth2/token", "https://test.salesforce.com"),
    ],
)
def test_where_a_login_goes(names, login_url, url):
    assert login_of(*names, login_url=login_url).url == url


def test_client_credentials_want_to_know_my_domain():
    with pytest.raises(ZilliantConfigError, match=r"Extra login_url: missing.*My Domain"):
        environment(client_id="c", client_secret="s")


@pytest.mark.parametrize(
    ("url", "audience"),
    [
        ("https://login.salesforce.com", "https://login.salesforce.com"),
        ("https://test.salesforce.com", "https://test.salesforce.com"),
        ("https://acme.my.salesforce.com", "https://login.salesforce.com"),
        ("https://acme-dev-ed.develop.my.salesforce.com", "https://login.salesforce.com"),
        ("https://acme--uat.sandbox.my.salesforce.com", "https://test.salesforce.com"),
        ("https://acme--uat.my.salesforce.com", "https://test.salesforce.com"),
        ("https://data-force-1.scratch.my.salesforce.com", "https://test.salesforce.com"),
        ("https://acme.my.site.com", "https://acme.my.site.com"),
        ("http://127.0.0.1:8090", "http://127.0.0.1:8090"),
    ],
)
def test_the_default_audience(url, audience):
    assert default_audience(url) == audience


def test_the_bodies():
    assert login_of(*CLIENT_CREDENTIALS).form(0.0) == {
        "grant_type": "client_credentials",
        "client_id": "the-client",
        "client_secret": "the-secret",
    }
    form = login_of(*JWT).form(1_000_000.9)
    assert form.keys() == {"grant_type", "assertion"}
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = jwt.decode(
        form["assertion"], keys.public_pem(), algorithms=["RS256"], options={"verify_exp": False, "verify_aud": False}
    )
    assert claims == {
        "iss": "the-client",
        "sub": "me@example.com",
        "aud": "https://login.salesforce.com",
        "exp": 1_000_120,
    }


@given(now=st.floats(0, 4e9))
def test_an_assertion_is_never_good_for_more_than_three_minutes(now):
    assertion = login_of(*JWT).form(now)["assertion"]
    ends = jwt.decode(assertion, options={"verify_signature": False})["exp"]
    assert 60 <= ends - now <= 180


# What a private key may look like


@cache
def other_keys() -> dict[str, str]:
    private, encoding = serialization.PrivateFormat, serialization.Encoding.PEM
    key = keys.key()
    locked = serialization.BestAvailableEncryption(b"the-passphrase")
    return {
        "PKCS8": PEM,
        "PKCS1": key.private_bytes(encoding, private.TraditionalOpenSSL, serialization.NoEncryption()).decode(),
        "encrypted": key.private_bytes(encoding, private.PKCS8, locked).decode(),
        "encrypted by older tools": key.private_bytes(encoding, private.TraditionalOpenSSL, locked).decode(),
        "OpenSSH": key.private_bytes(encoding, private.OpenSSH, serialization.NoEncryption()).decode(),
        "elliptic": ec.generate_private_key(ec.SECP256R1())
        .private_bytes(encoding, private.PKCS8, serialization.NoEncryption())
        .decode(),
        "other": rsa.generate_private_key(65537, 2048)
        .private_bytes(encoding, private.PKCS8, serialization.NoEncryption())
        .decode(),
    }


MANGLINGS = {
    "as it is": lambda pem: pem,
    "with Windows line ends": lambda pem: pem.replace("\n", "\r\n"),
    "with literal newlines": lambda pem: pem.replace("\n", "\\n"),
    "with literal Windows newlines": lambda pem: pem.replace("\n", "\\r\\n"),
    "escaped twice": lambda pem: pem.replace("\n", "\\\\n"),
    "on one line": lambda pem: pem.replace("\n", ""),
    "with spaces for newlines": lambda pem: pem.replace("\n", " "),
    "indented, as YAML may leave it": lambda pem: pem.replace("\n", "\n    "),
    "with a certificate before it": lambda pem: keys.certificate() + pem,
    "after OpenSSL's words": lambda pem: f"Bag Attributes\n    localKeyID: 01\n{pem}",
}


@pytest.mark.parametrize("how", MANGLINGS)
@pytest.mark.parametrize("kind", ["PKCS8", "PKCS1", "encrypted", "encrypted by older tools"])
def test_a_private_key_is_read_however_it_was_pasted(kind, how):
    passphrase = "the-passphrase" if kind.startswith("encrypted") else None
    text = MANGLINGS[how](other_keys()[kind])
    login = environment(login="me", client_id="c", private_key=text, private_key_passphrase=passphrase).login
    claims = jwt.decode(
        login.form(1e9)["assertion"],
        keys.public_pem(),
        algorithms=["RS256"],
        options={"verify_exp": False, "verify_aud": False},
    )
    assert claims["iss"] == "c"
    assert (
        login
        == environment(
            login="me", client_id="c", private_key=other_keys()[kind], private_key_passphrase=passphrase
        ).login
    ), "whatever its newlines, it is the same login"


def test_a_passphrase_that_the_key_does_not_need_does_no_harm():
    assert login_of(*JWT, "private_key_passphrase").form(0.0)["assertion"]


@pytest.mark.parametrize(
    ("text", "passphrase", "named"),
    [
        (lambda: keys.public_pem(), None, "is a public key"),
        (lambda: keys.certificate(), None, "is a certificate"),
        (lambda: other_keys()["encrypted"], None, "is encrypted, and Extra private_key_passphrase is empty"),
        (lambda: other_keys()["encrypted by older tools"], None, "is encrypted"),
        (lambda: other_keys()["encrypted"], "wrong-passphrase", "cannot be decrypted"),
        (lambda: CUT, None, "is cut off: the line -----END PRIVATE KEY----- is missing"),
        (lambda: CUT + "\n-----END PRIVATE KEY-----\n", None, "cut off or damaged"),
        (lambda: PEM.replace("M", "?"), None, "is cut off|cut off or damaged"),
        (lambda: other_keys()["OpenSSH"], None, "OpenSSH"),
        (lambda: other_keys()["elliptic"], None, "is not an RSA key"),
        (lambda: "/etc/keys/server.key", None, "is not PEM text"),
        (lambda: base64.b64encode(PEM.encode()).decode(), None, "is not PEM text"),
    ],
)
def test_what_is_no_private_key_is_named(text, passphrase, named):
    with pytest.raises(ZilliantConfigError, match=f"Extra private_key: .*({named})") as caught:
        environment(login="me", client_id="c", private_key=text(), private_key_passphrase=passphrase)
    told = str(caught.value)
    assert not any(line in told for line in text().splitlines() if len(line) > 40)
    assert "wrong-passphrase" not in told
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(st.text() | st.integers(0, 1600).map(lambda length: PEM[:length]))
def test_no_text_ends_in_anything_but_a_key_or_a_clear_error(text):
    try:
        environment(login="me", client_id="c", private_key=text)
    except ZilliantConfigError as error:
        assert "private_key" in str(error)


# What the replies mean


def refusal(login: Login, description: str = "", error: str = "invalid_grant", status: int = 400) -> ZilliantError:
    body = json.dumps({"error": error, "error_description": description}).encode()
    with pytest.raises(ZilliantError) as caught:
        login.read(Reply(status, body=body))
    return caught.value


LOGINS = {"client credentials": CLIENT_CREDENTIALS, "JWT bearer": JWT, "user and password": PASSWORD}


@pytest.mark.parametrize(
    ("flow", "said", "cause"),
    [
        ("client credentials", "request not supported on this domain", "is not the org's My Domain"),
        ("client credentials", "no client credentials user enabled", "has no run-as user"),
        ("client credentials", "client credentials flow not enabled", "turn on Enable Client Credentials Flow"),
        ("JWT bearer", "user hasn't approved this consumer", "not pre-authorized for the app"),
        ("JWT bearer", "user is not admin approved to access this app", "not pre-authorized for the app"),
        ("JWT bearer", "audience is invalid", "Extra audience must be"),
        ("JWT bearer", "Audience validation failed", "Extra audience must be"),
        ("JWT bearer", "expired authorization code", "clock of this machine is wrong by minutes"),
        ("JWT bearer", "invalid assertion", "does not belong to the certificate"),
        ("user and password", "authentication failure", "blocked in the org"),
        ("user and password", "authentication failure", "security token is not appended"),
        ("user and password", "authentication failure", "https://test.salesforce.com"),
        ("user and password", "ip restricted or invalid login hours", "IP address"),
    ],
)
def test_a_refusal_names_flow_url_words_and_cause(flow, said, cause):
    login = login_of(*LOGINS[flow])
    error = refusal(login, said)
    assert isinstance(error, ZilliantAuthError)
    assert error.is_login
    assert error.status_code == 400
    assert str(error).startswith(f"Logging in at {login.url} with {flow}")
    assert f"refused with 400: invalid_grant: {said}. " in str(error)
    assert cause in str(error)
    assert ("Salesforce is retiring" in str(error)) == (flow == "user and password")
    assert not is_transient(error, None)


@pytest.mark.parametrize("flow", LOGINS)
def test_words_that_say_nothing_are_met_with_every_cause(flow):
    login = login_of(*LOGINS[flow])
    told = str(refusal(login, "no luck"))
    assert "The usual causes: (1)" in told
    assert all(cause in told for _, cause in login.causes)
    assert "consumer key" in str(refusal(login, "client identifier invalid", error="invalid_client_id"))
    assert "consumer secret" in str(refusal(login, "invalid client credentials", error="invalid_client"))


@pytest.mark.parametrize("flow", LOGINS)
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (NoReply(sent=True, reason="ConnectionResetError"), ZilliantUnreachableError),
        (Reply(503), ZilliantServerError),
        (Reply(500, body=b"<html>"), ZilliantServerError),
        (Reply(429, {"retry-after": "7"}), ZilliantRateLimitError),
        (Reply(400, body=b'{"error": "rate_limit_exceeded"}'), ZilliantRateLimitError),
        (Reply(400, body=b'{"error": "invalid_grant", "error_description": "login rate exceeded"}'), ZilliantError),
        (
            Reply(400, body=b'{"error": "unknown_error", "error_description": "retry your request"}'),
            ZilliantServerError,
        ),
        (Reply(200, body=b"<html>"), ZilliantReplyError),
        (Reply(200, body=b"\xff"), ZilliantReplyError),
        (Reply(200, body=b"{}"), ZilliantReplyError),
    ],
)
def test_trouble_that_is_no_refusal_is_transient(flow, reply, kind):
    login = login_of(*LOGINS[flow])
    with pytest.raises(kind) as caught:
        login.read(reply)
    assert caught.value.is_login
    assert is_transient(caught.value, None)
    assert str(caught.value).startswith(f"Logging in at {login.url} with {flow}")


# Secrets


SHAPES = {
    "PEM": PEM.strip(),
    "a line of it": PEM.splitlines()[3],
    "one line": PEM.strip().replace("\n", "\\n"),
    "body": "".join(PEM.splitlines()[1:-1]),
    "Base64": base64.b64encode(PEM.encode()).decode(),
    "passphrase": "the-passphrase",
    "client secret": "the-secret",
    "password": "the-password",
}


@pytest.mark.parametrize("names", [CLIENT_CREDENTIALS, (*JWT, "private_key_passphrase"), PASSWORD])
def test_no_repr_holds_a_secret(names):
    found = environment(oauth_host="a.my.salesforce.com", **{name: FIELDS[name] for name in names})
    request = found.login_request(0.0)
    shown = repr([found, found.login, request, pickle.loads(pickle.dumps(found))]) + str(found.login)
    assert "the-client" not in shown
    for secret in (*SHAPES.values(), *found.login.form_secrets(request.form)):
        assert secret not in shown


@pytest.mark.parametrize("names", [CLIENT_CREDENTIALS, (*JWT, "private_key_passphrase"), PASSWORD])
def test_a_login_server_that_echoes_the_request_gets_no_secret_into_a_message(names):
    found = environment(oauth_host="a.my.salesforce.com", **{name: FIELDS[name] for name in names})
    request = found.login_request(0.0)
    words = " ".join([request.body.decode(), *request.form.values(), *SHAPES.values()])
    for start in range(0, len(words), 40):
        echo = Reply(400, body=words[start : start + 4000].encode(), secrets=request.secrets)
        with pytest.raises(ZilliantAuthError) as caught:
            found.login.read(echo)
        for secret in (*found.login.secrets, *found.login.form_secrets(request.form)):
            assert secret[:40] not in caught.value.message
