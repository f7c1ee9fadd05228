"""What survives a try: Airflow's task state, or Variables, which must never be read as nothing because of trouble."""

from __future__ import annotations

import importlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_zilliant import variables
from airflow_provider_zilliant.compat import task_state
from airflow_provider_zilliant.exceptions import ZilliantConfigError, ZilliantError
from airflow_provider_zilliant.variables import VariableStore
from tests.conftest import AIRFLOW
from tests.harness.modules import modules_after

KEY = "zilliant_submission"
RECORD = {"state": "job", "job_id": "j-1", "time": 1.5}
IDS = ("dag", "task", -1, "run")

before_3_3 = pytest.mark.skipif(AIRFLOW >= (3, 3), reason="this Airflow keeps task state")
with_supervisor = pytest.mark.skipif(AIRFLOW < (3, 0), reason="tasks of Airflow 2.11 use its database")
with_database = pytest.mark.skipif(AIRFLOW >= (3, 0), reason="tasks of Airflow 3 have no access to its database")


class Ti:
    dag_id, task_id, map_index, run_id = IDS


# Which of the two


class Kept(dict):
    def set(self, key, value, *, retention=None):
        self[key] = value

    def delete(self, key):
        self.pop(key, None)


def test_the_state_that_airflow_hands_the_task_is_used():
    kept = Kept()
    state = task_state({"ti": Ti(), "task_state_store": kept})
    state.set(KEY, RECORD, retention=None)
    assert (kept, state.get(KEY), state.get("other", 1)) == ({KEY: RECORD}, RECORD, 1)
    assert state.variable_name(KEY) is None
    state.delete(KEY)
    assert kept == {}


@before_3_3
def test_an_airflow_without_task_state_keeps_variables():
    state = task_state({"ti": Ti()})
    assert isinstance(state, VariableStore)
    assert state.variable_name(KEY) == VariableStore(*IDS).variable_name(KEY)


@pytest.mark.skipif(AIRFLOW < (3, 3), reason="this Airflow keeps no task state")
def test_a_task_whose_task_state_is_missing_does_not_write_elsewhere():
    state = task_state({"ti": Ti()})
    assert (state.get(KEY), state.get(KEY, 1), state.variable_name(KEY)) == (None, 1, None)
    with pytest.raises(ZilliantConfigError, match="durable=False"):
        state.set(KEY, RECORD)


def test_a_dag_file_does_not_import_it():
    loaded = modules_after("import airflow_provider_zilliant.operators.zilliant")
    assert not loaded & {"airflow_provider_zilliant.variables", "airflow_provider_zilliant.compat"}


# The names of Variables


def hides(name: str) -> bool:
    """Whether Airflow takes the value of a Variable of that name for a secret."""
    for module in ("_shared.secrets_masker", "sdk.execution_time.secrets_masker", "utils.log.secrets_masker"):
        try:
            masker = importlib.import_module(f"airflow.{module}")
        except ImportError:
            continue
        return bool(masker.should_hide_value_for_key(name))
    raise AssertionError("this Airflow's masker was not found")


ids = st.text(max_size=300) | st.sampled_from(["secret_token", "secretoken", "proxy", "a__b", "a", "b", "-", "x" * 250])


@given(ids, ids, st.integers(-1, 10**6), ids)
def test_a_name_fits_airflow_whatever_the_ids(dag_id, task_id, map_index, run_id):
    name = VariableStore(dag_id, task_id, map_index, run_id).variable_name(KEY)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", name), "needs no quoting in the URL of Airflow's API"
    assert len(f"{name}__probe") <= 250
    assert name.startswith(KEY)
    assert not hides(name)


@given(st.lists(st.tuples(ids, ids, st.integers(-1, 3), ids), unique=True, max_size=10))
def test_no_two_task_instances_have_the_same_name(instances):
    names = {VariableStore(*instance).variable_name(KEY).lower() for instance in instances}
    assert len(names) == len(instances), "not even where the database ignores case"


def test_a_name_is_readable_and_stays_as_it_is():
    # A record is looked for under this name by tries that a newer version of the provider makes.
    store = VariableStore("prices.eu", "group.publish", 3, "scheduled__2026-01-01T00:00:00+00:00")
    assert store.variable_name(KEY) == (
        "zilliant_submission__prices-eu__group-publish__3__scheduled__2026-01-01T00-00-00-00-00__0400f9b152fc31c0f051"
    )
    assert VariableStore("dag", "task", None, "run").variable_name("k") == VariableStore(*IDS).variable_name("k")


def test_the_masker_does_take_the_plain_names_for_secrets():
    assert hides("secret_prices")
    assert (
        VariableStore("secret_prices", "token", -1, "r").variable_name("k").startswith("k__s-ecret_prices__t-oken__r")
    )


# The store, whatever Airflow


class Shelf(dict):
    """Variables, and what is wrong with them."""

    loses_writes = False
    fails_to: str | None = None

    def read(self, name):
        self.may_fail("read")
        return self.get(name)

    def write(self, name, text, description):
        self.may_fail("write")
        self.description = description
        if not self.loses_writes:
            self[name] = text

    def remove(self, name):
        self.may_fail("remove")
        self.pop(name, None)

    def may_fail(self, what):
        if self.fails_to == what:
            raise TimeoutError("no answer\nwithin 5 s")


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def store(shelf) -> VariableStore:
    return VariableStore("dag", "task", 3, "run", access=shelf)


values = st.recursive(
    st.text() | st.lists(st.none() | st.integers() | st.text(), max_size=3),
    lambda inner: st.dictionaries(st.text(), inner | st.none() | st.booleans() | st.integers(), max_size=3),
)


@given(values)
def test_what_was_set_is_what_get_finds(value):
    store = VariableStore(*IDS, access=Shelf())
    store.set(KEY, value)
    assert (store.get(KEY), store.get("other"), store.get("other", 1)) == (value, None, 1)
    store.delete(KEY)
    assert store.get(KEY) is None


def test_the_description_says_what_it_is(store, shelf):
    store.set(KEY, RECORD)
    assert all(part in shelf.description for part in ("dag", "task", "map index 3", "run", "Do not delete"))
    assert "j-1" not in shelf.description


@pytest.mark.parametrize("text", ["12345", "007", "1e5", "true", "null", "NaN", "4f1c-a", "not json {"])
def test_a_persons_answer_is_a_text_as_it_stands(store, shelf, text):
    shelf[store.variable_name("zilliant_job_id")] = f" {text}\n"
    assert store.get("zilliant_job_id") == text


def test_a_persons_answer_may_be_quoted(store, shelf):
    shelf[store.variable_name("zilliant_job_id")] = '"12345"'
    assert store.get("zilliant_job_id") == "12345"


@pytest.mark.parametrize("value", [None, 1, 1.5, True])
def test_what_get_could_not_tell_from_a_persons_text_is_not_written(store, shelf, value):
    with pytest.raises(TypeError):
        store.set(KEY, value)
    assert shelf == {}


def test_a_write_that_cannot_be_read_back_raises(store, shelf):
    shelf.loses_writes = True
    with pytest.raises(ZilliantError, match="does not keep"):
        store.set(KEY, RECORD)


@pytest.mark.parametrize(
    ("fails_to", "method", "arguments", "says"),
    [
        ("read", "get", (KEY,), "cannot be read"),
        ("read", "set", (KEY, RECORD), "cannot be written"),
        ("write", "set", (KEY, RECORD), "cannot be written"),
        ("remove", "delete", (KEY,), "cannot be deleted"),
    ],
)
def test_trouble_raises_and_names_the_variable(store, shelf, fails_to, method, arguments, says):
    shelf.fails_to = fails_to
    with pytest.raises(ZilliantError, match=f"{says} at the moment .TimeoutError: no answer.") as caught:
        getattr(store, method)(*arguments)
    assert store.variable_name(KEY) in str(caught.value)
    assert "j-1" not in str(caught.value)


# Airflow 3: the supervisor


class Comms:
    """Airflow's supervisor and the API behind it: ``trouble`` is asked before each message is acted on."""

    def __init__(self, trouble=lambda message: None):
        self.variables, self.seen, self.trouble = {}, [], trouble

    def send(self, message):
        from airflow.sdk.exceptions import ErrorType
        from airflow.sdk.execution_time.comms import ErrorResponse, OKResponse, VariableResult

        self.seen.append((kind := message.type, message.key))
        if (answer := self.trouble(message)) is not None:
            return answer
        if kind == "PutVariable":
            self.variables[message.key] = message.value
            return None
        if kind == "DeleteVariable":
            self.variables.pop(message.key, None)
            return OKResponse(ok=True)
        if message.key in self.variables:
            return VariableResult(key=message.key, value=self.variables[message.key])
        return ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND, detail={"key": message.key})


def not_found(message):
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse

    return ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND, detail={"key": message.key})


def server_error(message):
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse

    return ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 500})


def raised_server_error(message):
    from airflow.sdk.exceptions import AirflowRuntimeError

    raise AirflowRuntimeError(server_error(message))


def raised_end(message):
    raise EOFError("Request socket closed before length")


def reading(what):
    """The trouble, for reads only."""
    return lambda message: what(message) if message.type == "GetVariable" else None


@pytest.fixture
def supervise(monkeypatch):
    """Makes this process a task of that supervisor."""
    from airflow.sdk.execution_time import task_runner

    def supervise(comms):
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", comms, raising=False)
        return VariableStore(*IDS)

    return supervise


@with_supervisor
def test_the_supervisor_is_asked_for_the_variable_itself(supervise, monkeypatch):
    store = supervise(comms := Comms())
    monkeypatch.setenv(f"AIRFLOW_VAR_{store.variable_name(KEY).upper()}", "the worker's")
    store.set(KEY, RECORD)
    assert json.loads(comms.variables[store.variable_name(KEY)]) == RECORD
    assert store.get(KEY) == RECORD
    store.delete(KEY)
    assert (comms.variables, store.get(KEY)) == ({}, None)
    assert comms.variables == {}, "no probe is left behind"


@with_supervisor
@pytest.mark.parametrize("trouble", [not_found, server_error, raised_server_error, raised_end])
def test_trouble_that_lasts_is_never_nothing(supervise, trouble):
    store = supervise(comms := Comms())
    store.set(KEY, RECORD)
    comms.trouble = reading(trouble)
    with pytest.raises(ZilliantError, match="cannot be read at the moment"):
        store.get(KEY)


@with_supervisor
@pytest.mark.parametrize("lookups", [1, 3])
def test_a_moment_of_trouble_is_not_nothing(supervise, lookups):
    store = supervise(comms := Comms())
    store.set(KEY, RECORD)
    name, left = store.variable_name(KEY), [None] * lookups
    comms.trouble = reading(
        lambda message: not_found(message) if message.key == name and left and not left.pop() else None
    )
    if lookups < variables.LOOKS:
        assert store.get(KEY) == RECORD
    else:  # as often as it is asked for, and never for the probe in between: then it is believed
        assert store.get(KEY) is None


@with_supervisor
@pytest.mark.parametrize("trouble", [server_error, raised_server_error, raised_end])
def test_nothing_is_not_believed_where_nothing_can_be_written(supervise, trouble):
    store = supervise(Comms(lambda message: trouble(message) if message.type == "PutVariable" else None))
    with pytest.raises(ZilliantError, match="cannot be read at the moment"):
        store.get(KEY)


@with_supervisor
def test_an_answer_to_another_question_is_none(supervise):
    from airflow.sdk.execution_time.comms import VariableResult

    store = supervise(Comms(reading(lambda message: VariableResult(key="other", value="{}"))))
    with pytest.raises(ZilliantError, match="unexpected answer"):
        store.get(KEY)


@with_supervisor
@pytest.mark.parametrize("trouble", [server_error, raised_server_error, raised_end])
@pytest.mark.parametrize("kind", ["PutVariable", "DeleteVariable"])
def test_a_write_that_fails_raises(supervise, trouble, kind):
    store = supervise(Comms(lambda message: trouble(message) if message.type == kind else None))
    with pytest.raises(ZilliantError, match="at the moment"):
        store.set(KEY, RECORD) if kind == "PutVariable" else store.delete(KEY)


@with_supervisor
def test_a_probe_that_cannot_be_deleted_does_no_harm(supervise):
    store = supervise(Comms(lambda message: server_error(message) if message.type == "DeleteVariable" else None))
    assert store.get(KEY) is None
    assert store.get(KEY) is None, "although the first one is still there"


@with_supervisor
def test_outside_a_task_nothing_is_read_nor_written():
    store = VariableStore(*IDS)
    with pytest.raises(ZilliantError, match="no task runs here"):
        store.get(KEY)
    with pytest.raises(ZilliantError, match="no task runs here"):
        store.set(KEY, RECORD)


@with_supervisor
def test_the_first_releases_of_airflow_3_are_named(supervise):
    class Older:
        def send_request(self, log, msg): ...

    with pytest.raises(ZilliantError, match=r"takes Airflow 3\.0\.3"):
        supervise(Older()).get(KEY)


# Airflow 2.11: the database


@with_database
def test_a_variable_is_written_and_read_past_what_shadows_it(database, monkeypatch):
    store = VariableStore(*IDS)
    monkeypatch.setenv(f"AIRFLOW_VAR_{store.variable_name(KEY).upper()}", "shadow")
    assert store.get(KEY) is None
    store.set(KEY, RECORD)
    assert store.get(KEY) == RECORD
    store.delete(KEY)
    store.delete(KEY)
    assert store.get(KEY) is None


@with_database
def test_a_database_that_does_not_answer_is_not_nothing(database, monkeypatch):
    from airflow import settings
    from airflow.models import Variable
    from sqlalchemy.exc import OperationalError

    store = VariableStore(*IDS)
    store.set(KEY, RECORD)

    def broken():
        raise OperationalError("SELECT 1", {}, Exception("the database is gone"))

    with monkeypatch.context() as patched:
        patched.setattr(settings.Session, "session_factory", broken)
        patched.setattr(settings, "Session", settings.Session)
        with pytest.raises(ZilliantError, match="the database is gone"):
            store.get(KEY)
    with monkeypatch.context() as patched:
        patched.setattr("airflow.secrets.metastore.MetastoreBackend.get_variable", lambda *_, **__: broken())
        assert Variable.get(store.variable_name(KEY), default_var="nothing") == "nothing", "Airflow's own way"
        assert store.get(KEY) == RECORD
    store.delete(KEY)


@with_database
def test_a_variable_that_airflow_cannot_decrypt_is_not_nothing(database, monkeypatch):
    from cryptography.fernet import Fernet

    def fernet(key):
        made = Fernet(key)
        made.is_encrypted = True
        return lambda: made

    monkeypatch.setattr("airflow.models.variable.get_fernet", fernet(Fernet.generate_key()))
    store = VariableStore(*IDS)
    store.set(KEY, RECORD)
    assert store.get(KEY) == RECORD
    monkeypatch.setattr("airflow.models.variable.get_fernet", fernet(Fernet.generate_key()))
    with pytest.raises(ZilliantError, match="cannot decrypt"):
        store.get(KEY)
    store.delete(KEY)
    assert store.get(KEY) is None


# In a task


IN_A_TASK = """
from airflow.providers.common.compat.sdk import get_current_context
from airflow_provider_zilliant.compat import task_state
from airflow_provider_zilliant.exceptions import ZilliantError
from airflow_provider_zilliant.variables import VariableStore

def variables():
    ti = get_current_context()["ti"]
    return VariableStore(ti.dag_id, ti.task_id, ti.map_index, ti.run_id)

def state():
    return task_state(get_current_context())
"""


@pytest.mark.parametrize("made_by", ["state", "variables"])
def test_a_record_outlives_a_try_and_then_disappears(run_dag, made_by):
    if made_by == "state" and AIRFLOW < (3, 3):
        pytest.skip("the same as Variables")
    run = run_dag(
        IN_A_TASK
        + f"""
@task(retries=1)
def remember(number):
    store, ti = {made_by}(), get_current_context()["ti"]
    found = store.get("zilliant_submission")
    assert found == (None if ti.try_number == 1 else {{"number": number, "try": 1}}), found
    store.set("zilliant_submission", {{"number": number, "try": ti.try_number}})
    if ti.try_number == 1:
        raise RuntimeError("once more")
    assert store.get("zilliant_submission")["try"] == 2
    store.delete("zilliant_submission")
    store.delete("zilliant_submission")
    assert store.get("zilliant_submission") is None

remember.expand(number=[7, 8])
"""
    )
    assert [run.state("remember", index) for index in (0, 1)] == ["success", "success"], run.failures


def test_odd_ids_answers_of_persons_and_shadows(run_dag):
    run = run_dag(
        IN_A_TASK
        + """
@task
def try_it():
    odd = VariableStore("Préise/secret.token?", "group.task%2F..", 3, "scheduled__2026-01-01T00:00:00+00:00 #ü" * 9)
    odd.set("k", {"ü": ["'", '"']})
    assert odd.get("k") == {"ü": ["'", '"']}
    odd.delete("k")
    assert odd.get("k") is None

    store = variables()
    try:
        from airflow.sdk import Variable
    except ImportError:
        from airflow.models import Variable
    Variable.set(store.variable_name("zilliant_job_id"), "12345")
    assert store.get("zilliant_job_id") == "12345"
    store.delete("zilliant_job_id")
    assert store.get("zilliant_job_id") is None

    os.environ["AIRFLOW_VAR_" + store.variable_name("k").upper()] = "shadow"
    try:
        store.set("k", {"a": 1})
        return store.get("k") == {"a": 1}
    except ZilliantError as error:
        return str(error)
    finally:
        del os.environ["AIRFLOW_VAR_" + store.variable_name("k").upper()]
        store.delete("k")

try_it()
"""
    )
    assert run.state("try_it") == "success", run.failures
    # In dag.test(), the API server has the environment of the task.
    assert run.xcom("try_it") is True if AIRFLOW < (3, 0) else "does not keep" in run.xcom("try_it")


@with_supervisor
def test_an_api_server_whose_database_stumbles_does_not_hide_a_record(run_dag):
    run = run_dag(
        IN_A_TASK
        + """
from airflow.secrets.metastore import MetastoreBackend

def stumble(times):
    intact = MetastoreBackend.get_variable

    def get_variable(self, *arguments, **named):
        nonlocal times
        times -= 1
        if times < 0:
            return intact(self, *arguments, **named)
        raise RuntimeError("the database is gone")

    MetastoreBackend.get_variable = get_variable
    return lambda: setattr(MetastoreBackend, "get_variable", intact)

@task
def try_it():
    store = variables()
    store.set("k", {"a": 1})
    mend = stumble(1)
    try:
        assert store.get("k") == {"a": 1}
    finally:
        mend()
    mend = stumble(1000)
    try:
        from airflow.sdk import Variable
        assert Variable.get(store.variable_name("k"), default="nothing") == "nothing", "Airflow's own way"
        return store.get("k") or "nothing"
    except ZilliantError as error:
        return str(error)
    finally:
        mend()
        store.delete("k")

try_it()
"""
    )
    assert run.state("try_it") == "success", run.failures
    assert "cannot be read at the moment" in run.xcom("try_it")
