"""What an earlier try left on record: poll its job, and by the table of consent attach to it, submit or ask."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from airflow_provider_zilliant.api.job_status import JobStatus
from airflow_provider_zilliant.exceptions import ZilliantError, ZilliantNotFoundError
from airflow_provider_zilliant.hooks.zilliant import ZilliantHook
from airflow_provider_zilliant.operators import messages, questions
from airflow_provider_zilliant.operators.consent import Next, Sign, decide, find, read_sign
from airflow_provider_zilliant.operators.current_try import Try
from airflow_provider_zilliant.operators.ledger import ANSWER_KEY
from airflow_provider_zilliant.operators.records import AskedFor, Intent, Job, Record
from airflow_provider_zilliant.tasks.final_errors import final
from airflow_provider_zilliant.waits.progress import ProgressLog
from airflow_provider_zilliant.waits.watching import find_status, poll_patiently


@dataclass(frozen=True)
class Mine:
    """The job that this try waits for.

    :param since: when this try submitted it or attached to it, in epoch seconds: ``timeout`` counts from here.
    :param status: what is known of it, if it is an earlier one.
    """

    job: Job
    since: float
    status: JobStatus | None = None


def earlier_job(current: Try, hook: ZilliantHook, asked_for: AskedFor) -> Mine | None:
    """The earlier job to attach to, or nothing if this try may submit."""
    answer = current.ledger.read_answer()
    if answer is not None:
        return _take_answer(current, hook, answer, asked_for)
    record = on_record = current.found = current.ledger.read()
    current.found_time = time.time()
    if isinstance(record, Intent) and record.time == current.carried.refused_intent_time:
        record = record.earlier
    current.before = record
    if record is None:
        return None
    if record.tries.try_number > current.tries.try_number and record.time >= current.started_time:
        raise messages.replaced()
    status, is_gone, trouble = _look_up(current, hook, record, asked_for)
    if isinstance(record, Job) and current.ledger.read() != on_record:
        raise messages.replaced()
    sign, told = _read_signs(current, record)
    found = find(replace(record, told=told), asked_for, status, is_gone=is_gone)
    on_clear = current.task.on_clear
    may_resubmit = current.task.on_unknown_submission == "resubmit"
    decision = decide(found, sign, on_clear=on_clear, may_resubmit=may_resubmit)
    if decision is Next.SUBMIT:
        current.log.info("On record is %s; this is %s: submitting.", found.value, sign.value)
        return None
    if decision is Next.ASK:
        entry = current.ledger.answer_entry
        if isinstance(record, Intent):
            question = questions.about_intent(record, on_clear, entry)
        else:
            question = questions.about_job(found, record, status, asked_for, on_clear, entry)
        raise current.ask(question, record)
    assert isinstance(record, Job), "only a job can be attached to"
    current.task.job_id = record.job_id
    if trouble is not None:
        raise trouble
    return _attach(current, record, status, sign)


def _read_signs(current: Try, record: Record) -> tuple[Sign, bool]:
    """Whether the task was cleared, and whether by a person who had been told.

    A clear that came before the telling is not informed: Airflow may retry a try that told, if it loses its report.
    """
    retries, is_resumed = current.task.retries or 0, current.is_resumed
    sign = read_sign(record.tries, current.tries, retries=retries, is_resumed=is_resumed)
    if record.told_at is None or sign is Sign.RETRY:
        return sign, record.told
    since = read_sign(record.told_at, current.tries, retries=retries, is_resumed=is_resumed)
    return (Sign.DOUBT if since is Sign.DOUBT else sign), record.told and since is not Sign.RETRY


def _look_up(
    current: Try, hook: ZilliantHook, record: Record, asked_for: AskedFor
) -> tuple[JobStatus | None, bool, ZilliantError | None]:
    """The recorded job's status, whether it is gone, and what went wrong; a job nobody can poll counts as open."""
    if isinstance(record, Intent) or record.asked_for.base_url != asked_for.base_url:
        return None, False, None
    try:
        status = hook.run(
            find_status(hook.client, record.job_id, accepted_time=record.time, progress=ProgressLog(current.log))
        )
    except ZilliantError as error:
        current.check_alive()
        return None, False, error
    return status, status is None, None


def _attach(current: Try, record: Job, status: JobStatus | None, sign: Sign) -> Mine:
    """Takes the recorded job for this try's own, and says so on record: the next try's signs count from here."""
    current.log.info("Attaching to job %s, which an earlier try submitted.", record.job_id)
    told = record.told and sign is Sign.RETRY
    job = replace(record, tries=current.tries, told=told, told_at=record.told_at if told else None)
    try:
        current.ledger.write(job)
    except Exception:
        if sign is not Sign.RETRY:
            raise  # the next try would take this clear for one of its own
        current.log.warning("The record of job %s could not be updated.", record.job_id, exc_info=True)
    return Mine(job, time.time(), status)


def _take_answer(current: Try, hook: ZilliantHook, job_id: str, asked_for: AskedFor) -> Mine:
    """Attaches to the job that a person has named."""
    try:
        status = hook.run(poll_patiently(hook.client, job_id, progress=ProgressLog(current.log)))
    except ZilliantNotFoundError as error:
        raise final(messages.unknown_answer(job_id, ANSWER_KEY, error)) from None
    current.log.info("Attaching to job %s, which was entered as %s.", job_id, ANSWER_KEY)
    accepted = status.started_at.timestamp() if status.started_at is not None else time.time()
    job = Job(asked_for, current.tries, accepted, job_id)
    current.ledger.write(job)
    current.ledger.use_up_answer()
    return Mine(job, time.time(), status)
