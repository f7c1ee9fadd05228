"""The connection form's metadata, as Airflow reads it."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from airflow import __version__ as airflow_version
from airflow.providers_manager import ProvidersManager

from airflow_provider_zilliant.connection import form as connection_form
from airflow_provider_zilliant.connection.fields import parse_environment
from airflow_provider_zilliant.connection.form import FIELDS

try:
    from airflow.sdk._shared.secrets_masker import should_hide_value_for_key
except ImportError:  # before Airflow 3.2
    try:
        from airflow.sdk.execution_time.secrets_masker import should_hide_value_for_key
    except ImportError:  # Airflow 2
        from airflow.utils.log.secrets_masker import should_hide_value_for_key


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.is_secret])
def test_a_secret_has_a_name_that_airflow_masks(name):
    if name == "proxies" and not should_hide_value_for_key("proxy"):
        assert airflow_version.startswith("3.0."), "Airflow 3.0 alone masks no proxies, which Security says"
        return
    assert should_hide_value_for_key(name)


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if not field.is_secret])
def test_what_is_no_secret_can_be_read_when_the_form_is_opened_again(name):
    assert not should_hide_value_for_key(name)


def test_the_form_has_every_option_of_extra_that_is_read_and_no_other():
    class Asked(dict):
        def get(self, key, default=None):
            asked.add(key)
            return super().get(key, default)

    asked: set[str] = set()
    given = Asked(client_id="client", client_secret="secret")
    parse_environment(host="z.example", login="me", password="password", extra=given)
    assert asked == set(FIELDS)


def test_airflow_takes_the_form_as_it_is():
    labels, placeholders, hidden, fields = form()
    if airflow_version.startswith("3.0.") and find_spec("flask_appbuilder") is None:
        assert fields == set(), "Airflow 3.0 has a provider's form only with the FAB provider"
        return
    assert labels == connection_form.RELABELING
    assert hidden == connection_form.HIDDEN_FIELDS
    assert placeholders == {name: told for name, told in connection_form.PLACEHOLDERS.items() if name not in FIELDS}
    assert fields == set(FIELDS)


def form() -> tuple[dict[str, str], dict[str, str], list[str], set[str]]:
    """What feeds the form: labels, placeholders and absence of the standard fields, and the names of Extra's."""
    try:
        from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
    except ImportError:  # Airflow 2
        manager = ProvidersManager()
        told = manager.field_behaviours["zilliant"]
        prefix = "extra__zilliant__"
        names = {name.removeprefix(prefix) for name in manager.connection_form_widgets if name.startswith(prefix)}
        examples = {name: text for name, text in told["placeholders"].items() if not name.startswith(prefix)}
        return told["relabeling"], examples, told["hidden_fields"], names
    (meta,) = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "zilliant"]
    standard = dict(meta.standard_fields or {})
    given = {"schema" if name == "url_schema" else name: field for name, field in standard.items() if field}
    return (
        {name: field.title for name, field in given.items() if field.title},
        {name: field.placeholder for name, field in given.items() if field.placeholder},
        [name for name, field in given.items() if field.hidden],
        set(meta.extra_fields or {}),
    )
