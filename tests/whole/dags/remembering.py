"""One publishing task whose arguments come with the run's conf, and which tells the pid of its worker."""

import datetime
import json
import os
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator

#: What a Dag's author edits between two tries: each process reads it when it loads this file.
EDITED = Path(os.environ["WORKER_PIDS"]).with_name("edited.json")
EDITION = json.loads(EDITED.read_text()) if EDITED.exists() else {}


class Telling(ZilliantRunWorkflowOperator):
    """Takes ``deferrable``, ``wait`` and others from the run's conf, in each of its processes."""

    def pre_execute(self, context):
        with open(os.environ["WORKER_PIDS"], "a") as file:
            file.write(f"{os.getpid()}\n")
        conf = context["dag_run"].conf
        self.deferrable, self.wait_for_completion = conf["deferrable"], conf["wait"]
        self.durable, self.on_clear = conf.get("durable", True), conf.get("on_clear", "ask")
        self.broken_trigger = conf.get("broken_trigger", False)
        super().pre_execute(context)

    def defer(self, *, trigger, **arguments):
        if self.broken_trigger:
            kind, told = trigger.serialize()
            trigger.serialize = lambda: (f"{kind}OfAnotherVersion", told)
        super().defer(trigger=trigger, **arguments)


START = datetime.datetime(2026, 1, 1)
RETRIES = {"retries": 1, "retry_delay": datetime.timedelta(seconds=1)}

with DAG("remembering", schedule=None, start_date=START, render_template_as_native_obj=True):
    Telling(
        task_id="publish",
        workflow_automation_id=EDITION.get("workflow", "P"),
        scope="{{ dag_run.conf['scope'] }}",
        parameters={"sandbox_seconds": "{{ dag_run.conf['seconds'] }}", "run": "{{ run_id }}"},
        **RETRIES,
    )

with DAG("remembering_a_list", schedule=None, start_date=START):

    @task
    def regions():
        return [{"scope": region} for region in EDITION["regions"]]

    ZilliantRunWorkflowOperator.partial(
        task_id="publish", workflow_automation_id="P", parameters={"sandbox_seconds": "600"}, **RETRIES
    ).expand_kwargs(regions())
