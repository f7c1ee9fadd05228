"""The connection form's metadata, as Airflow reads it."""

from __future__ import annotations

import pytest
from airflow.providers_manager import ProvidersManager

from airflow_provider_zilliant import connection_form
from airflow_provider_zilliant.api.environment import environment_of
from airflow_provider_zilliant.connection_form import FIELDS

try:
    from airflow.sdk._shared.secrets_masker import should_hide_value_for_key
except ImportError:  # before Airflow 3.2
    try:
        from airflow.sdk.execution_time.secrets_masker import should_hide_value_for_key
    except ImportError:  # Airflow 2
        from airflow.utils.log.secrets_masker import should_hide_value_for_key


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.is_secret])
def test_a_secret_has_a_name_that_airflow_masks(name):
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
    environment_of(host="z.example", login="me", password="password", extra=given)
    assert asked == set(FIELDS)


def test_airflow_takes_the_form_as_it_is():
    behaviour = ProvidersManager().field_behaviours["zilliant"]
    assert behaviour["hidden_fields"] == connection_form.HIDDEN_FIELDS
    assert behaviour["relabeling"] == connection_form.RELABELING
    placeholders = {name.removeprefix("extra__zilliant__"): told for name, told in behaviour["placeholders"].items()}
    assert placeholders == connection_form.PLACEHOLDERS
    fields = [name for name in ProvidersManager().connection_form_widgets if name.startswith("extra__zilliant__")]
    assert sorted(fields) == sorted(f"extra__zilliant__{name}" for name in FIELDS)
