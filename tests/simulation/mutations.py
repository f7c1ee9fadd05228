"""What was wrong once, put back one at a time: ``python -m tests.simulation.mutations`` shows whether it is found."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_zilliant.api import environment
from airflow_provider_zilliant.api.client import Client
from airflow_provider_zilliant.exceptions import ZilliantNotFoundError
from airflow_provider_zilliant.operators import attempt, consent, earlier, submitting
from airflow_provider_zilliant.operators.consent import Found, Next, Row, Sign
from airflow_provider_zilliant.operators.current_try import Try
from airflow_provider_zilliant.operators.guard import messages
from airflow_provider_zilliant.operators.records import AskedFor
from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator
from airflow_provider_zilliant.transports.blocking import BlockingTransport
from airflow_provider_zilliant.waits import scope_queue
from airflow_provider_zilliant.waits.watching import poll_patiently
from tests.simulation.life import HELD_BACK, LINE, MOVE, PROXY, REPLACED, STUMBLE
from tests.simulation.lives import ready

#: Within so many lives, each must be found.
LIVES = 20_000

Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Mutation:
    """One thing put back.

    :param item: its number among the sixteen, or a letter for what the simulation itself has found.
    :param patches: what is replaced; none: this package has it still, and only the check is switched on.
    """

    item: str
    what: str
    patches: Callable[[], list[Patch]]
    invariant: str | None = None

    @contextmanager
    def put_back(self) -> Iterator[None]:
        patches = [mock.patch.object(*patch) for patch in self.patches()]
        for patch in patches:
            patch.start()
        table = dict(consent.TABLE)
        try:
            yield
        finally:
            consent.TABLE.clear()
            consent.TABLE.update(table)
            for patch in reversed(patches):
                patch.stop()


def _no_check_before_resuming() -> list[Patch]:
    return [(ZilliantRunWorkflowOperator, "pre_execute", lambda self, context: None)]


def _attaching_is_not_recorded() -> list[Patch]:
    def attach(current: Any, record: Any, status: Any, sign: Any) -> Any:
        return earlier.Mine(record, current.ti.start_date.timestamp(), status)

    # When this was so, nobody asked either whether the clear came after the telling.
    return [(earlier, "_attach", attach), *_a_question_answers_itself()]


def _failed_waits_are_retried() -> list[Patch]:
    return [(ZilliantRunWorkflowOperator, "resume_execution", BaseOperator.resume_execution)]


def _a_clear_answers_any_intent() -> list[Patch]:
    row = Row(Next.ASK, Next.SUBMIT, Next.SUBMIT, Next.SUBMIT)
    return [(consent, "TABLE", {**consent.TABLE, Found.INTENT: row})]


def _one_404_is_believed() -> list[Patch]:
    async def find_status(client: Any, job_id: str, **_: Any) -> Any:
        try:
            return await poll_patiently(client, job_id)
        except ZilliantNotFoundError:
            return None

    find = consent.find

    def forget(record: Any, asked_for: Any, status: Any, *, is_gone: bool) -> Any:
        return Found.FAILED if is_gone else find(record, asked_for, status, is_gone=is_gone)

    return [(earlier, "find_status", find_status), (earlier, "find", forget)]


def _only_max_tries_tells_a_clear() -> list[Patch]:
    def read_sign(then: Any, now: Any, **_: Any) -> Sign:
        return Sign.CLEAR if then.max_tries != now.max_tries else Sign.RETRY

    return [(earlier, "read_sign", read_sign)]


def _a_record_says_not_what_was_asked() -> list[Patch]:
    return [(AskedFor, "__eq__", lambda self, other: True)]


def _the_guard_begins_late() -> list[Patch]:
    submit = submitting.submit

    def unguarded(current: Any, *arguments: Any) -> Any:
        try:
            return submit(current, *arguments)
        except BaseException:
            current.task.job_id, current.in_doubt = None, False
            raise

    return [(attempt, "submit", unguarded)]


def _nobody_asks_whether_it_was_killed() -> list[Patch]:
    return [(Try, "check_alive", lambda self: None)]


def _a_refused_intent_is_forgotten() -> list[Patch]:
    def restore(current: Any, intent: Any) -> None:
        try:
            current.ledger.write(current.before)
        except Exception:
            current.log.exception("The record could not be restored.")

    return [(submitting, "_restore", restore)]


def _sleeps_outlive_kills() -> list[Patch]:
    async def sleep(self: Any, seconds: float, /) -> None:
        import time

        time.sleep(seconds)  # noqa: ASYNC251 - as it was

    return [(BlockingTransport, "sleep", sleep)]


def _green_is_noted_at_once() -> list[Patch]:
    def end_green(self: Any, job_id: str) -> str:
        try:
            self._try.ledger.end_green(job_id)
        except Exception:
            self._log.warning("It could not be noted.")
        return job_id

    return [(attempt.Attempt, "_end_green", end_green)]


def _a_cleared_process_tells() -> list[Patch]:
    def note_told(self: Any, record: Any) -> None:
        if not record.told:
            try:
                self.ledger.write(replace(record, told=True, told_at=self.tries))
            except Exception:
                self.log.warning("It could not be noted that you were told: a clear will ask again.")

    return [(Try, "note_told", note_told)]


def _told_before_it_is_said() -> list[Patch]:
    from airflow_provider_zilliant.operators import guard

    def explain(current: Any, error: BaseException) -> BaseException:
        record = current.ledger.read()
        if record is None:
            return error
        current.note_told(record)
        return messages.with_next_steps(error, current.task.job_id, current.task.on_clear)

    return [(guard, "_explain", explain)]


def _a_question_answers_itself() -> list[Patch]:
    def read_signs(current: Any, record: Any) -> tuple[Sign, bool]:
        return earlier.read_sign(record.tries, current.tries, retries=current.task.retries or 0), record.told

    return [(earlier, "_read_signs", read_signs)]


def _the_connection_is_read_once() -> list[Patch]:
    return [(Client, "next_read", property(lambda self: 1))]


def _whoever_left_to_try_has_no_grace() -> list[Patch]:
    return [(scope_queue, "TURN", 0.0)]


def _only_plain_passwords_of_proxies_are_secret() -> list[Patch]:
    def passwords(proxies: Any) -> frozenset[str]:
        return frozenset(urlsplit(url).password or "" for url in proxies) - {""}

    return [(environment, "proxy_secrets", passwords)]


def _nothing() -> list[Patch]:
    return []


MUTATIONS = (
    Mutation("1", "2.11 ends a resumed task by execution_timeout, and its retry submits", _no_check_before_resuming),
    Mutation("2", "attaching never rewrites the record", _attaching_is_not_recorded),
    Mutation("3", "without memory, a trigger that fails is retried", _failed_waits_are_retried),
    Mutation("4", "a clear answers an intent that nobody was told of", _a_clear_answers_any_intent),
    Mutation("5", "one 404 counts as a job that is gone, and so as nothing", _one_404_is_believed),
    Mutation("6", "max_tries alone tells a clear", _only_max_tries_tells_a_clear),
    Mutation("7", "the record does not say what was asked for", _a_record_says_not_what_was_asked),
    Mutation("9", "a secrets backend that stumbles ends a wait, when its task resumes", _nothing, STUMBLE),
    Mutation("10", "a busy triggerer never reads an edited Connection", _the_connection_is_read_once, MOVE),
    Mutation("11", "what runs after acceptance is not guarded", _the_guard_begins_late),
    Mutation("12", "nobody asks before the POST whether the task was killed", _nobody_asks_whether_it_was_killed),
    Mutation("13", "the queue gives no grace", _whoever_left_to_try_has_no_grace, LINE),
    Mutation("14", "an intent that a 409 refused is asked about by the same try", _a_refused_intent_is_forgotten),
    Mutation("15", "a proxy's credentials in Base64 are shown", _only_plain_passwords_of_proxies_are_secret, PROXY),
    Mutation("16", "a Retry-After is slept through a kill", _sleeps_outlive_kills),
    Mutation("A", "green is noted before Airflow has the success", _green_is_noted_at_once),
    Mutation("B", "a cleared process tells, and the clear before counts as informed", _a_cleared_process_tells),
    Mutation("C", "told is noted before anything is said", _told_before_it_is_said),
    Mutation("D", "a retried question takes the clear before it for its answer", _a_question_answers_itself),
    Mutation("E", "two processes of a task that was cleared twice while it ran", _nothing, REPLACED),
)


def find(mutation: Mutation, *, seed: int, lives: int = LIVES) -> tuple[int, str] | None:
    """The number of the first life that breaks an invariant, and which."""
    held_back = HELD_BACK - {mutation.invariant} if mutation.invariant else HELD_BACK
    with mutation.put_back(), ready(seed, held_back) as runner:
        found = runner.run(range(lives), most=1).found
    return (found[0][0], str(found[0][1])) if found else None


def main() -> int:
    wanted = sys.argv[2:]
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    missed = 0
    print("| put back | what | found in life | the invariant |\n| --- | --- | --- | --- |")
    for mutation in MUTATIONS:
        if wanted and mutation.item not in wanted:
            continue
        found = find(mutation, seed=seed)
        missed += found is None
        number, text = found if found is not None else ("**not found**", "")
        open_still = " (still so in this package)" if mutation.patches is _nothing else ""
        print(f"| {mutation.item} | {mutation.what}{open_still} | {number} | {text[:110]} |", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
