"""The connection form of Airflow 3.3: filled, tested, saved, and opened again."""

from __future__ import annotations

import json
import sys

import pytest
from playwright.sync_api import expect

from airflow_provider_zilliant.connection.form import FIELDS, PLACEHOLDERS
from airflow_provider_zilliant.sandbox import Sandbox
from airflow_provider_zilliant.sandbox.engine import OAUTH_HOST
from tests.browser.read_back import read_back
from tests.harness.pages import Connections
from tests.harness.private_airflow import PrivateAirflow

CLIENT = {"client_id": "the-client", "client_secret": "the-hidden-part"}
PROXIES = '{"https": "http://me:the-proxy-password@proxy.example:3128"}'


def pasted(response: dict[str, str]) -> str:
    """A token response as people copy it: over several lines."""
    return json.dumps(response, indent=2)


def issued(zilliant: Sandbox) -> dict[str, str]:
    """A token response of the sandbox's, which can be revoked."""
    return zilliant.zilliant.issue_token({"grant_type": "password", "username": "u", "password": "p", **CLIENT})


def address(zilliant: Sandbox) -> dict[str, str]:
    return {"host": f"http://{zilliant.host}", "port": str(zilliant.port)}


def test_the_form_says_what_goes_where(connections: Connections):
    connections.add("unsaved")
    form = connections.form
    expect(form.get_by_text("Schema", exact=True)).to_have_count(0)
    for name in ("host", "login", "password", "port"):
        expect(connections.standard(name)).to_have_attribute("placeholder", PLACEHOLDERS[name])
    expect(connections.standard("password")).to_have_attribute("type", "password")
    for name, field in FIELDS.items():
        connections.unfold(field.section or "Extra Fields")
        expect(form.get_by_text(field.label, exact=True)).to_be_visible()
        expect(form.get_by_text(field.description, exact=True)).to_be_visible()
        if field.has_lines:
            assert connections.extra(name).evaluate("it => it.tagName") == "TEXTAREA"
        elif field.is_secret:
            expect(connections.extra(name)).to_have_attribute("type", "password")


def test_the_test_button_tells_a_good_token_from_a_wrong_one_and_from_a_wrong_oauth_host(
    connections: Connections, zilliant: Sandbox
):
    token = issued(zilliant)
    connections.add("tested")
    connections.fill({**address(zilliant), "password": pasted(token)}, {"oauth_host": OAUTH_HOST})
    connections.save("tested")
    good = connections.test("tested")

    connections.edit("tested")
    connections.fill({}, {"oauth_host": "other.my.salesforce.com"})
    assert connections.save("tested")["password"] == "***", "the form does not know the password"
    wrong_host = connections.test("tested")

    zilliant.zilliant.revoke_tokens()
    connections.edit("tested")
    connections.fill({}, {"oauth_host": OAUTH_HOST})
    connections.save("tested")
    revoked = connections.test("tested")

    connections.edit("tested")
    connections.fill({"password": token["access_token"]})
    connections.save("tested")
    half = connections.test("tested")

    assert good.is_good, good
    assert good.message == f"{zilliant.url} accepts this connection."
    for verdict, told in (
        (wrong_host, f"oauth_host is other.my.salesforce.com, but the token belongs to {OAUTH_HOST}"),
        (revoked, "expired or been revoked"),
        (half, "not a complete Salesforce token response"),
    ):
        assert not verdict.is_good
        assert told in verdict.message
        assert told in verdict.shown, "the user reads what the hook answered"
    for verdict in (good, wrong_host, revoked, half):
        assert not any(token[name] in verdict.message + verdict.shown for name in ("access_token", "signature"))


def test_a_wrong_field_is_named_without_the_id_that_airflow_makes_up_for_the_test(connections: Connections):
    connections.add("no_host")
    connections.fill({"port": "443", "password": "00D!token"})
    connections.save("no_host")
    verdict = connections.test("no_host")
    assert not verdict.is_good
    assert verdict.message.startswith("Step 1 of 4, the fields: Host: missing.")


@pytest.mark.parametrize("flow", ["client credentials", "JWT bearer", "user and password"])
def test_a_login_typed_with_every_option_is_saved_as_the_hook_reads_it_and_shows_no_secret_again(
    connections: Connections, airflow: PrivateAirflow, zilliant: Sandbox, flow: str
):
    conn_id = flow.replace(" ", "_").lower()
    fields = zilliant.login_connection(flow)
    extra = fields["extra"]
    standard = {name: fields[name] for name in ("login", "password") if name in fields}
    key = extra.get("private_key", "")
    secrets = [*standard.get("password", "").split(), *extra.get("client_secret", "").split(), "the-proxy-password"]
    secrets += [line for line in key.splitlines() if not line.startswith("-----")]
    network = {"verify": "false", "proxies": PROXIES, "allow_http": True}
    connections.add(conn_id)
    connections.fill({**address(zilliant), **standard}, {**extra, **network})
    sent = connections.save(conn_id)
    assert json.loads(sent["extra"]) == {**dict.fromkeys(FIELDS), **extra, **network}, "untouched is null"
    verdict = connections.test(conn_id)
    assert verdict.is_good, verdict
    assert f"The login at {zilliant.url} with {flow} worked." in verdict.message
    assert ("Salesforce is retiring" in verdict.message) == (flow == "user and password")

    found = read_back(sys.executable, airflow.env, conn_id)
    assert found == {
        "verdict": True,
        "url": zilliant.url,
        "oauth_host": OAUTH_HOST,
        "verify": False,
        "proxies": json.loads(PROXIES),
    }

    connections.answers.clear()
    connections.edit(conn_id)
    for name, field in FIELDS.items():
        if field.is_secret:
            connections.extra(name)
    connections.unfold("Extra Fields JSON")
    values = connections.page.locator("input, textarea").evaluate_all("all => all.map(one => one.value)")
    assert values.count("***") >= 1, "the secrets are there, and masked"
    shown = [*values, connections.page.content(), connections.form.inner_text(), *connections.answers]
    assert connections.answers, "the API was asked"
    assert [secret for secret in secrets for text in shown if secret in text] == []

    connections.fill({"description": "Saved again, with all secrets masked"})
    connections.save(conn_id)
    assert connections.test(conn_id).is_good
    assert read_back(sys.executable, airflow.env, conn_id) == found, "no secret was overwritten by its mask"


def test_a_connection_moves_from_a_password_to_a_key(
    connections: Connections, airflow: PrivateAirflow, zilliant: Sandbox
):
    before, after = (zilliant.login_connection(flow) for flow in ("user and password", "JWT bearer"))
    connections.add("moves")
    standard = {name: before[name] for name in ("login", "password")}
    connections.fill({**address(zilliant), **standard}, before["extra"])
    connections.save("moves")
    assert "Salesforce is retiring" in connections.test("moves").message

    connections.edit("moves")
    # Airflow does not remove a stored password, as the message says that one gets without the space.
    connections.fill({"password": " "}, {"client_secret": "", "private_key": after["extra"]["private_key"]})
    connections.save("moves")
    verdict = connections.test("moves")
    assert verdict.is_good, verdict
    assert "with JWT bearer worked." in verdict.message
    assert read_back(sys.executable, airflow.env, "moves")["verdict"]


def test_optional_fields_that_were_emptied_again_are_saved_as_none_at_all(
    connections: Connections, airflow: PrivateAirflow, zilliant: Sandbox
):
    connections.add("emptied")
    connections.fill({**address(zilliant), "password": pasted(issued(zilliant))}, {"oauth_host": OAUTH_HOST})
    typed = [name for name, field in FIELDS.items() if field.kind == "string" and name != "oauth_host"]
    connections.fill({}, dict.fromkeys(typed, "x"))
    connections.fill({}, dict.fromkeys(typed, ""))
    connections.save("emptied")
    found = read_back(sys.executable, airflow.env, "emptied")
    assert (found["verdict"], found["verify"], found["proxies"]) == (True, True, {})
