"""No secret in a message: however it is spelled, wherever the text is cut, and without mangling ordinary words."""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import quote

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_zilliant.api import jobs, redaction
from airflow_provider_zilliant.api.http import NoReply, Reply, Request, to_error
from airflow_provider_zilliant.api.redaction import (
    LONGEST_TEXT,
    MAX_LENGTH,
    proxy_secrets,
    redact,
    spellings,
    to_sentence,
)
from airflow_provider_zilliant.connection.fields import parse_environment


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("company policy: many, anyway", "company policy: many, anyway"),
        ("password=any&user=me", "password=***&user=me"),
        ('{"password": "any"}', '{"password": "***"}'),
        ("any", "***"),
        ("YW55 is Base64", "*** is Base64"),
        ("any_thing, anything, x-any.", "any_thing, anything, x-***."),
    ],
)
def test_a_short_secret_is_replaced_only_as_a_whole_word(text, shown):
    assert redact(text, spellings("any")) == shown


@given(before=st.text("abc ", max_size=5), after=st.text("abc ", max_size=5), secret=st.text("xyz&", min_size=5))
def test_a_secret_of_five_characters_is_replaced_anywhere(before, after, secret):
    assert secret not in redact(f"{before}{secret}{after}", spellings(secret))


PROXIES = [
    "http://me:p%40ss%3Aw0rd@proxy:3128",
    "https://me:p%40ss%3Aw0rd@proxy",
    "me:p%40ss%3Aw0rd@proxy:3128",
    "//me:p%40ss%3Aw0rd@proxy:3128/",
    "http://me:p%40ss%3Aw0rd@[proxy:3128",
]


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_proxys_password_is_replaced_however_it_is_spelled(proxy):
    header = base64.b64encode(b"me:p@ss:w0rd").decode()
    text = f"p@ss:w0rd p%40ss%3Aw0rd Basic {header} {quote('p@ss:w0rd')} {proxy}"
    shown = redact(text, proxy_secrets([proxy]))
    assert not any(part in shown for part in ("w0rd", header, "p@ss", "p%40ss")), shown


def test_a_proxys_password_beyond_ascii_is_replaced_in_both_encodings():
    shown = proxy_secrets(["me:w%C3%B6rd@proxy"])
    for code in ("utf-8", "latin-1"):
        assert base64.b64encode("me:wörd".encode(code)).decode() in shown


@pytest.mark.parametrize("proxy", ["http://proxy:3128", "proxy", "http://me@proxy", ""])
def test_a_proxy_without_a_password_has_no_secret(proxy):
    assert proxy_secrets([proxy]) == frozenset()


@pytest.mark.parametrize("name", ["http", "https", "all"])
def test_the_proxies_of_a_connection_are_among_the_secrets_of_every_request(name):
    environment = parse_environment(host="z.example", extra={"proxies": {name: "me:hunter22@proxy:3128"}})
    request = environment.sign(Request("GET", "/"), None)
    assert base64.b64encode(b"me:hunter22").decode() in request.secrets
    lost = NoReply.because(OSError("cannot connect to me:hunter22@proxy"), request, sent=False)
    assert "hunter22" not in lost.reason


SECRET = "00D!AQcAQH0dMHEXAMPLE_of.a.token"


@pytest.mark.parametrize("before", [LONGEST_TEXT - left for left in range(-2, len(SECRET) + 3)])
@pytest.mark.parametrize("filler", [" ", "é"])
def test_no_half_secret_remains_where_a_text_is_cut(before, filler):
    filler = filler if filler == " " else filler + " "
    body = (filler * (before // len(filler.encode()) + 1)).encode()[:before] + SECRET.encode() * 20
    shown = Reply(500, body=body, secrets=spellings(SECRET)).explanation
    assert "00D" not in shown


@given(text=st.text(), cut=st.integers(0, 100), secret=st.text(min_size=5, max_size=40))
def test_whatever_the_text_the_cut_shows_nothing_of_the_secret_at_its_end(text, cut, secret):
    shown = redact(f"{text}{secret[:cut]}", frozenset([secret]), is_cut=True)
    assert text.startswith(shown.partition("*")[0])


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"message": "no", "trace": "word " * 200_000}).encode(),
        b"<" * 1_000_000,
        b"<title>" * 150_000,
        b"<html>" + b"a b " * 250_000,
        SECRET.encode() * 30_000,
        SECRET[:20].encode() * 50_000,
        b" " * 1_000_000,
        b"//" * 500_000,
        b"\0" * 1_000_000,
    ],
    ids=["json", "<", "title", "html", "secret", "half a secret", "white space", "//", "NUL"],
)
def test_a_huge_body_costs_no_time(body):
    reply = Reply(500, body=body, secrets=spellings(SECRET, "p&ss wörd", "x" * 2000))
    began = time.process_time()
    shown = reply.explanation
    assert time.process_time() - began < 0.05
    assert len(shown) <= MAX_LENGTH + 1
    assert SECRET[: redaction.RECOGNIZABLE] not in shown


URL = "https://help.example/errors/17"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"see {URL}", f"see <{URL}>."),
        (f"see {URL}.", f"see <{URL}>."),
        (URL, f"<{URL}>."),
        (f"{URL} says no", f"{URL} says no."),
        (f"no (see {URL})", f"no (see {URL})."),
        ("no", "no."),
    ],
)
def test_a_link_does_not_take_the_full_stop_along(text, sentence):
    assert to_sentence(text) == sentence


def test_no_message_puts_a_full_stop_behind_a_link():
    reply = Reply(500, body=json.dumps({"message": f"see {URL}"}).encode())
    submission = jobs.parse_submission("P")
    unknown = jobs.unknown_outcome(submission, reply.explanation, pendulum.now())
    for message in (str(to_error(reply, "Polling")), str(unknown)):
        assert f"<{URL}>. " in f"{message} "
