"""One submission whose worker dies, in its first try, at the point that the run's conf names.

Its trigger may fail, its job may fail, and its parameters may be edited between two of its tries.
"""

import datetime
import http.client
import json
import os
import signal
import time
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_zilliant.hooks.zilliant import ZilliantHook
from airflow_provider_zilliant.operators.ledger import Ledger
from airflow_provider_zilliant.operators.records import Intent
from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator
from airflow_provider_zilliant.transports import blocking


def note_failure(context):
    """One line for each failed try that Airflow tells of."""
    error = context.get("exception")
    kinds = [kind.__name__ for kind in type(error).__mro__]
    noted = {"run_id": context["run_id"], "kinds": kinds, "text": str(error), "at": time.time()}
    with open(os.environ["NOTED_FAILURES"], "a") as file:
        file.write(json.dumps(noted) + "\n")


class Mortal(ZilliantRunWorkflowOperator):
    """Dies by SIGKILL at a chosen point of its first try."""

    def pre_execute(self, context):
        super().pre_execute(context)
        edited = Path(os.environ["EDITED"])
        editions = json.loads(edited.read_text()) if edited.exists() else {}
        self.parameters = {**self.parameters, "edition": str(editions.get(context["run_id"], 1))}
        self.fails_to_wait = context["dag_run"].conf.get("broken_trigger") and context["ti"].try_number == 1

    def defer(self, *, trigger, **arguments):
        if self.fails_to_wait:
            trigger.poll_interval = "often"  # a TypeError in its run()
        super().defer(trigger=trigger, **arguments)

    def execute(self, context):
        self.arm(context)
        return super().execute(context)

    def resume_submission(self, context, event=None):
        self.arm(context)
        return super().resume_submission(context, event)

    def arm(self, context):
        point = context["dag_run"].conf.get("dies") if context["ti"].try_number == 1 else None
        write, submit = Ledger.write, ZilliantHook.submit

        def die():
            with open(os.environ["NOTED_DEATHS"], "a") as file:
                file.write(json.dumps({"run_id": context["run_id"], "point": point, "at": time.time()}) + "\n")
            if context["dag_run"].conf.get("worker_too"):
                os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

        def mortal_write(ledger, record):
            is_intent = isinstance(record, Intent)
            if point == "between acceptance and record" and not is_intent:
                die()
            write(ledger, record)
            if point == ("before the POST" if is_intent else "after the record"):
                die()

        def mortal_submit(hook, submission):
            # Either no byte of the body has left, or all of them have and the answer was not read.
            if context["dag_run"].conf["whole"]:
                http.client.HTTPConnection.getresponse = lambda *_, **__: die()
            else:
                blocking._Body.read = lambda *_: die()
            return submit(hook, submission)

        Ledger.write = mortal_write
        if point == "during the POST":
            ZilliantHook.submit = mortal_submit


for consent in ("fail", "resubmit"):
    for wait in (True, False):
        with DAG(
            f"chaos_{consent}_{'wait' if wait else 'submit'}",
            schedule=None,
            start_date=datetime.datetime(2026, 1, 1),
            max_active_runs=400,
            max_active_tasks=400,
            render_template_as_native_obj=True,
        ):
            Mortal(
                task_id="publish",
                workflow_automation_id="Chaos",
                scope="{{ dag_run.conf['scope'] }}",
                parameters={
                    "sandbox_seconds": "{{ dag_run.conf['seconds'] }}",
                    "sandbox_result": "{{ dag_run.conf['result'] }}",
                    "run": "{{ run_id }}",
                },
                wait_for_completion=wait,
                on_unknown_submission=consent,
                retries=4,
                retry_delay=datetime.timedelta(seconds=1),
                on_failure_callback=note_failure,
                on_retry_callback=note_failure,
            )
