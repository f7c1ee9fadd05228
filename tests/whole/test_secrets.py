"""No secret is anywhere but in the encrypted Connection: not in a log, the database, an XCom or a trigger."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives import serialization

from airflow_provider_zilliant.sandbox import Sandbox
from airflow_provider_zilliant.sandbox.engine import OAUTH_HOST, token_response
from tests.harness import keys
from tests.harness.private_airflow import PrivateAirflow

PASSWORD = "the pass&word of the publisher, ünique"
CLIENT_SECRET = "the-client-secret-of-the-connected-app"
TOKEN = json.dumps(token_response("00Dsandbox!the-access-token-of-a-person", issued_at=0))
BROKEN = "00Dsandbox!the-access-token-alone-which-is-not-enough"
USERS = {"publisher@example.com": PASSWORD}
CLIENTS = {"client": CLIENT_SECRET}
PASSPHRASE = "the-passphrase-of-the-private-key"
#: The assertions that were sent.
assertions: list[str] = []


@pytest.fixture(scope="module")
def strict_zilliant() -> Iterator[Sandbox]:
    with Sandbox(seed=0, users=USERS, clients=CLIENTS) as running:
        check = running.zilliant.org.check

        def note(form: Mapping[str, str], url: str) -> None:
            assertions.extend([form["assertion"]] if "assertion" in form else [])
            check(form, url)

        running.zilliant.org.check = note  # type: ignore[method-assign]
        yield running


def locked(pem: str) -> str:
    """The private key, encrypted."""
    key = serialization.load_pem_private_key(pem.encode(), None)
    how = serialization.BestAvailableEncryption(PASSPHRASE.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how).decode()


@pytest.fixture(scope="module")
def connections(whole_airflow: PrivateAirflow, strict_zilliant: Sandbox) -> list[str]:
    """Connections of every kind, in Airflow's database."""
    login = {"client_id": "client", "client_secret": CLIENT_SECRET, "login_url": strict_zilliant.url}
    user = {"login": "publisher@example.com", "password": PASSWORD}
    pem = strict_zilliant.zilliant.org.private_key
    by_app = {"oauth_host": OAUTH_HOST, **login}
    by_key = {name: value for name, value in by_app.items() if name != "client_secret"}
    lock = {"private_key": locked(pem), "private_key_passphrase": PASSPHRASE}
    person = {"login": "publisher@example.com"}
    kinds = {
        "as_json": {"password": TOKEN, "extra": {"oauth_host": OAUTH_HOST}},
        "as_base64": {"password": base64.b64encode(TOKEN.encode()).decode(), "extra": {"oauth_host": OAUTH_HOST}},
        "broken": {"password": BROKEN, "extra": {"oauth_host": OAUTH_HOST}},
        "by_login": {**user, "extra": {**login, "oauth_host": OAUTH_HOST}},
        "refused_login": {**user, "password": PASSWORD + " wrong", "extra": {**login, "oauth_host": OAUTH_HOST}},
        "by_app": {"extra": by_app},
        "refused_app": {"extra": {**by_app, "client_id": "other"}},
        "by_key": {**person, "extra": {**by_key, "private_key": pem}},
        "by_key_on_one_line": {**person, "extra": {**by_key, "private_key": pem.replace("\n", "\\n")}},
        "by_locked_key": {**person, "extra": {**by_key, **lock}},
        "refused_key": {**person, "extra": {**by_key, "private_key": keys.pem()}},
        "wrong_passphrase": {**person, "extra": {**by_key, **lock, "private_key_passphrase": PASSPHRASE + "!"}},
        "too_many_fields": {**person, "extra": {**by_app, "private_key": pem}},
        "bad_field": {"password": TOKEN, "extra": {"oauth_host": "not a host"}},
    }
    for conn_id, fields in kinds.items():
        body = {"connection_id": conn_id, "conn_type": "zilliant", "host": strict_zilliant.url, **fields}
        whole_airflow.send("POST", "/api/v2/connections", {**body, "extra": json.dumps(body["extra"])})
    return list(kinds)


def shapes(pem: str) -> dict[str, str]:
    """What a private key may look like where it leaked."""
    lines = pem.splitlines()
    numbered = {f"line {number}": line for number, line in enumerate(lines[1:-1])}
    return {
        "whole": pem,
        "on one line": "".join(lines),
        "with literal newlines": pem.replace("\n", "\\n"),
        "with spaces": pem.replace("\n", " "),
        "body": "".join(lines[1:-1]),
        "with its last newline": f"{pem}\n",
        **numbered,
    }


def secrets(zilliant: Sandbox) -> dict[str, str]:
    """Every secret, by what it is called, and what it looks like in Base64."""
    whole = {"password": PASSWORD, "client secret": CLIENT_SECRET, "token response": TOKEN, "broken token": BROKEN}
    whole["access token"] = json.loads(TOKEN)["access_token"]
    whole["signature"] = json.loads(TOKEN)["signature"]
    whole["passphrase"] = PASSPHRASE
    whole |= {f"assertion {number}": assertion for number, assertion in enumerate(assertions)}
    for name, pem in (("private key", zilliant.zilliant.org.private_key), ("other private key", keys.pem())):
        whole |= {f"{name}, {shape}": text for shape, text in shapes(pem.strip()).items()}
    whole |= {f"issued token {number}": token for number, token in enumerate(zilliant.zilliant._issued)}
    encoded = {f"{name}, in Base64": base64.b64encode(word.encode()).decode() for name, word in whole.items()}
    quoted = {f"{name}, in JSON": json.dumps(word)[1:-1] for name, word in whole.items()}
    return {**whole, **encoded, **quoted}


def test_no_secret_is_anywhere(whole_airflow, strict_zilliant, connections):
    airflow: PrivateAirflow = whole_airflow
    orders = [
        {"fault": "echo", "status": 500, "skip": 1},
        {"fault": "echo", "status": 400, "skip": 6},
        {"fault": "echo", "status": 202, "skip": 7},
        {"fault": "lose_reply", "skip": 8},
    ]
    for order in orders:
        strict_zilliant.zilliant.order_fault({"method": "POST", "path": "/v1/JobWorkflow", **order})
    strict_zilliant.zilliant.order_fault({"fault": "echo", "status": 400, "path": "/services/", "skip": 1})
    strict_zilliant.zilliant.order_fault({"fault": "echo", "status": 503, "method": "GET", "times": 3})
    strict_zilliant.zilliant.order_fault({"fault": "echo", "status": 401, "method": "GET", "skip": 4})
    runs = []
    for conn_id in [*connections, *connections]:
        conf = {"conn_id": conn_id, "scope": str(uuid.uuid4()), "seconds": 1}
        runs.append(airflow.trigger("any_connection", conf))
    states = {task["state"] for run in runs for task in airflow.wait_for_run("any_connection", run, 240)}
    assert states == {"success", "failed"}, "some connections work, and some do not"

    tested = {}
    for conn_id in connections:
        fields = airflow.get(f"/api/v2/connections/{conn_id}")
        tested[conn_id] = requests.post(
            f"{airflow.url}/api/v2/connections/test",
            json={
                k: fields[k]
                for k in ("connection_id", "conn_type", "host", "login", "password", "extra")
                if k in fields
            },
            timeout=60,
        ).text

    struck = [request["status"] for request in strict_zilliant.zilliant.requests if request["fault"] == "echo"]
    assert {500, 400, 202, 503, 401} == set(struck), "every echo was heard"

    places: dict[str, bytes] = {f"the test of {conn_id}": text.encode() for conn_id, text in tested.items()}
    for path in [*airflow.logs(), *airflow.home.glob("airflow.db*")]:
        places[str(path.relative_to(airflow.home))] = Path(path).read_bytes()
    for run in runs:
        for task in airflow.tasks("any_connection", run):
            places[f"API: task of {run}"] = json.dumps(task, ensure_ascii=False).encode()
    places["sandbox"] = requests.get(f"{strict_zilliant.url}/sandbox/requests", timeout=5).content
    assert any(name.startswith("airflow.db") for name in places)
    assert sum("attempt=" in name for name in places) >= len(runs), "the tasks' logs are among the places"

    assert len(assertions) >= 3
    found = [
        f"{name} in {place}"
        for name, word in secrets(strict_zilliant).items()
        for place, content in places.items()
        if word.encode() in content
    ]
    assert found == []
