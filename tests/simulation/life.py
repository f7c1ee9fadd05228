"""One life: what is drawn at random, what people do, and what is checked at every step."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections import Counter
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowTaskTimeout
from airflow.sdk.exceptions import AirflowRuntimeError, AirflowTaskTerminated

from airflow_provider_zilliant.exceptions import ZilliantConfigError, ZilliantSubmissionUnknownError
from airflow_provider_zilliant.operators.ledger import ANSWER_KEY, KEY
from airflow_provider_zilliant.sandbox.engine import OAUTH_HOST
from airflow_provider_zilliant.variables import VariableStore
from tests.simulation import airflow, truth
from tests.simulation.airflow import Injected, TaskInstance, Triggerer, Worker
from tests.simulation.kernel import Endless, World
from tests.simulation.seams import Seams, make_connection, missing
from tests.simulation.truth import Accepted, Violation
from tests.simulation.wire import Place

HERE, THERE, MOVED = "http://127.0.0.1:8090", "http://127.0.0.1:8091", "http://127.0.0.1:8092"
DAY = 86_400.0
LINE, MOVE = "the line tries too often", "an edited Connection is not read"
PROXY, STUMBLE = "a secret of the proxy", "a stumble ends a wait"
REPLACED = "published twice, cleared twice while it ran, before 3.3"
VERSIONS = (airflow.V3_3,) * 4 + (airflow.V2_11,) * 3 + (airflow.V3_0, airflow.V3_2, airflow.V3_4)
RESULTS = (
    ("COMPLETED",) * 7
    + ("FAILED", "CANCELED", "TERMINATED", "TIMED_OUT", "CONTINUED_AS_NEW")
    + (
        "CONTINUED_AS_NEW",
        "MYSTERIOUS",
        None,
    )
)
#: Replies by which Zilliant certainly accepted nothing.
REFUSED = frozenset((301, 400, 401, 403, 404, 409, 422, 429, 500))
#: Invariants that this package is known not to hold yet: counted, and no violation. STUMBLE is so on workers
#: only: a task that resumes in the moment of the stumble fails, and is retried. LINE is so in 2 of 10,000 lives.
HELD_BACK = frozenset((LINE, STUMBLE, REPLACED))
SECRETS = ("SECRET", base64.b64encode(b"SECRET").decode(), base64.b64encode(b'{"access_token": "SEC').decode()[:24])
PROXY_SECRET = base64.b64encode(b"user:PROXYPASSWORD").decode()

#: Where something may strike, grouped, so that a life can have a favourite.
MOMENTS = (
    ("start", "pre_execute", "connection"),
    ("store.get",),
    ("store.before", "store.after"),
    ("post.connect",),
    ("post.sent",),
    ("post.reply",),
    ("log",),
    ("xcom.before", "xcom.after"),
    ("metrics",),
    ("get.connect", "get.sent", "get.reply"),
    ("state.before",),
)
STRIKES = ("kill",) * 5 + ("terminate",) * 3 + ("slow",) * 3 + ("clear",) * 3 + ("clear twice",) * 3 + ("fail", "edit")


class Life:
    """Everything about one life.

    :param seed: decides it.
    :param dropped: decisions that go the harmless way, by number; for shrinking.
    """

    def __init__(
        self,
        seed: int,
        seams: Seams,
        *,
        dropped: frozenset[int] = frozenset(),
        tracing: bool = False,
        held_back: frozenset[str] = HELD_BACK,
    ) -> None:
        self.seed = seed
        self.held_back = held_back
        self.seams = seams
        self.world = World(seed, tracing=tracing)
        self.dropped = dropped
        self.decisions = 0
        self.fired: list[tuple[int, str]] = []
        self.reached: Counter[str] = Counter()
        self._fates = random.Random(seed ^ 0x5EED)
        random.seed(seed)
        dice = self.world.dice
        self._numbers = 0
        self.version = dice.choice(VERSIONS)
        self.places = {HERE: Place(self, HERE), THERE: Place(self, THERE)}
        self.accepted_jobs: dict[str, Accepted] = {}
        self.variables: dict[str, str] = {}
        self.names: dict[str, tuple[TaskInstance, str]] = {}
        self.workers: list[Worker] = []
        self.triggerers: list[Triggerer] = []
        self.assigned: dict[int, tuple[TaskInstance, Any, Triggerer]] = {}
        self.clear_number = 0
        self.keeps_state = dice.random() < 0.5
        self.tick = 0.5
        self.lost: list[list[float]] = []
        self.posts = 0
        self.violation: Violation | None = None
        seams.bind(self)
        self._draw(dice)

    # What is drawn.

    def _draw(self, dice: random.Random) -> None:
        roll = dice.random()
        self.kind = "queue" if roll < 0.02 else "crowd" if roll < 0.05 else "story" if roll < 0.55 else "storm"
        self.calm = self.kind == "queue"
        self.latency = dice.choice((0.02, 0.2, 2.0))
        self.slow_loss = dice.random() < 0.3
        self._skews = (0.0,) if dice.random() < 0.7 else (0.0, 60.0, -60.0)
        self._slow_start = dice.random() < 0.15
        favourite = dice.choice(MOMENTS)
        base = 0.0 if self.kind == "story" else dice.choice((0.005, 0.02))
        special = dice.choice((0.0, 0.15)) if self.kind == "story" else dice.choice((0.1, 0.3))
        self._hazards = dict.fromkeys((name for group in MOMENTS for name in group), base)
        self._hazards.update(dict.fromkeys(favourite, special))
        self._strikes_left = dice.choice((1, 2, 4))
        storm = self.kind == "storm"
        self._rates = {
            "post": dice.choice((0.0, 0.1, 0.4)) if storm else dice.choice((0.0, 0.0, 0.15)),
            "get": dice.choice((0.0, 0.1, 0.4)) if storm else 0.02,
            "login": 0.1,
            "store": dice.choice((0.0, 0.05, 0.2)) if storm else 0.0,
            "xcom": dice.choice((0.0, 0.1)) if storm else dice.choice((0.0, 0.0, 0.08)),
            "metrics": 0.05,
            "state": dice.choice((0.0, 0.1)) if storm else dice.choice((0.0, 0.15)),
            "mismatch": 0.03,
            "executor reports failure": 0.3,
            "host lost": 0.3,
            "trigger cannot be imported": 0.06 if storm else 0.02,
            "trigger raises": 0.06 if storm else 0.02,
            "restart": 0.05,
            "double": 0.05,
            "forget": 0.27,
            "edit before retry": dice.choice((0.0, 0.0, 0.5)),
            "edit before clear": dice.choice((0.0, 0.6)),
            "lower retries": dice.choice((0.0, 0.0, 0.6)),
            "connection": dice.choice((0.0, 0.0, 0.05)),
        }
        self._patience = dice.choice((3, 4, 5))
        self._stumbles: list[tuple[float, float]] = []
        self._moved: float | None = None
        self._login = dice.random() < 0.15
        self._proxied = dice.random() < 0.15
        self._connections = {"zilliant_default": HERE, "zilliant_other": THERE}
        self._passwords = {HERE: self._token(), THERE: self._token()}
        self.triggerers.extend(Triggerer(self, self.skew()) for _ in range(dice.choice((1, 1, 2))))
        crowd = self.kind == "crowd"
        count = {"queue": 4, "crowd": 3}.get(self.kind) or (dice.choice((1, 1, 1, 2)) if storm else 1)
        options = self._draw_options(dice)
        for index in range(count):
            ask: dict[str, Any] = {
                "workflow_automation_id": "P",
                "scope": "us" if not crowd and (dice.random() < 0.7 or count > 1) else None,
                "parameters": {"region": f"r{index}"},
                "descriptor": "PLATFORM_CUSTOM_WORKFLOW",
                "zilliant_conn_id": "zilliant_default",
            }
            ti = TaskInstance(self, index, ask, options)
            self.tis.append(ti)
            self.lost.append([])
            if self.version.memory == "variables":
                store = VariableStore("prices", "publish", index, "manual__1")
                for key in (KEY, ANSWER_KEY):
                    self.names[store.variable_name(key)] = ti, key
            ti.schedule(index * 30.0 if crowd else dice.uniform(0, 1))
        if dice.random() < 0.2 and self.kind != "queue":
            self._occupy(dice.choice((20.0, 200.0, 900.0)))
        if crowd:
            self.world.after(dice.uniform(10, 60), self._move)
        if self.kind == "story" and dice.random() < 0.7:
            self.world.after(10 ** dice.uniform(0.3, 3), self._somebody_stops_it)
        if storm:
            for _ in range(dice.choice((0, 1, 2, 3))):
                self.world.after(10 ** dice.uniform(-0.3, 3.6), self._something_happens)

    @property
    def tis(self) -> list[TaskInstance]:
        return self.__dict__.setdefault("_tis", [])

    def _draw_options(self, dice: random.Random) -> dict[str, Any]:
        if self.kind == "queue":
            return {
                "on_scope_busy": "wait",
                "scope_timeout": DAY,
                "wait_for_completion": True,
                "timeout": DAY,
                "poll_interval": None,
                "deferrable": True,
                "durable": True,
                "on_unknown_submission": "fail",
                "on_clear": "ask",
                "request_timeout": 60.0,
                "execution_timeout": None,
                "retries": 0,
                "retry_delay": 60.0,
            }
        return {
            "on_scope_busy": dice.choice(("wait",) * 6 + ("fail", "skip")),
            "scope_timeout": dice.choice((30.0, 600.0, 3600.0)),
            "wait_for_completion": dice.random() < 0.75,
            "timeout": dice.choice((30.0, 300.0, 3600.0)),
            "poll_interval": dice.choice((None, None, 20.0, 120.0)),
            "deferrable": dice.random() < 0.6,
            "durable": dice.random() < 0.8,
            "on_unknown_submission": "resubmit" if dice.random() < 0.1 else "fail",
            "on_clear": dice.choice(("ask", "attach", "submit")),
            "request_timeout": dice.choice((10.0, 60.0)),
            "execution_timeout": dice.choice((None, None, None, 15.0, 60.0, 600.0)),
            "retries": dice.choice((0, 1, 2, 3)),
            "retry_delay": dice.choice((1.0, 60.0, 300.0)),
        }

    def skew(self) -> float:
        return self.world.dice.choice(self._skews)

    def start_delay(self) -> float:
        dice = self.world.dice
        if self.kind == "queue":
            return dice.choice((1.0, 15.0, 30.0))
        return dice.uniform(5, 60) if self._slow_start else dice.uniform(0.3, 2)

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    next_number = number

    def _token(self) -> str:
        text = {"access_token": f"SECRET-token-{self.number()}", "instance_url": f"https://{OAUTH_HOST}"}
        return json.dumps(text)

    # Decisions: each can be dropped, and the life still runs.

    def strikes(self, name: str, chance: float | None = None) -> bool:
        chance = self._rates[name] if chance is None else chance
        if self.calm or not chance:
            return False
        self.decisions += 1
        if self._fates.random() >= chance or self.decisions in self.dropped:
            return False
        self.fired.append((self.decisions, name))
        return True

    def pick(self, choices: Any, weights: Any = None) -> Any:
        """For a decision that has just gone the harmful way; its own dice, so that dropping others changes nothing."""
        return random.Random(self.seed * 7919 + self.decisions).choices(choices, weights)[0]

    def hazard(self, worker: Worker, name: str) -> str | None:
        if not self._strikes_left or not self.strikes(name, self._hazards.get(name, 0.0)):
            return None
        self._strikes_left -= 1
        return str(self.pick(STRIKES))

    def fault(self, number: int, kind: str, weights: dict[str, int]) -> str | None:
        if not self.strikes(kind):
            return None
        chosen = str(self.pick(list(weights), list(weights.values())))
        self.world.note(f"{kind}: {chosen}")
        self.meet(f"{kind}: {chosen}")
        return chosen

    def trouble(self, what: str) -> str | None:
        if what == "store" and self.stumbles():
            return "before"
        if not self.strikes(what):
            return None
        when = str(self.pick(("before", "after")))
        self.world.note(f"trouble: {what} {when}")
        return when

    def stumbles(self) -> bool:
        now = self.world.now
        return any(begin <= now < end for begin, end in self._stumbles)

    # Airflow's Connections.

    def connection(self, conn_id: str) -> Any:
        if self.stumbles():
            self.meet("item 9")
            raise missing(conn_id)
        if self.strikes("connection"):
            raise self.pick((missing(conn_id), RuntimeError("the secrets backend does not answer")))
        url = self._connections[conn_id]
        worker = self.world.machine
        if isinstance(worker, Worker):
            worker.ti.urls.setdefault(worker.ti.try_number, set()).add(url)
        extra: dict[str, Any] = {"oauth_host": OAUTH_HOST}
        if self._proxied:
            extra["proxies"] = {"http": "http://user:PROXYPASSWORD@127.0.0.1:3128"}
        if self._login:
            extra.update(client_id="client", client_secret="SECRETSECRET", login_url=url)
            return make_connection(url, "user", "SECRETPASSWORD", json.dumps(extra), extra)
        return make_connection(url, None, self._passwords[url], json.dumps(extra), extra)

    # The memory, as Airflow keeps it.

    def change_variable(self, name: str, text: str | None) -> None:
        worker: Any = self.world.machine
        worker.effect("store.before")
        trouble = worker.trouble("store")
        if trouble == "before":
            raise Injected("the Variable cannot be written")
        if text is None:
            self.variables.pop(name, None)
            if name in self.names:
                self._remembered(*self.names[name], None)
        else:
            self.check_text(text, "record")
            self.variables[name] = text
            if name in self.names:
                ti, key = self.names[name]
                self._remembered(ti, key, json.loads(text))
        if trouble == "after":
            raise Injected("the Variable was written, the reply was lost")
        worker.effect("store.after")

    def remembers(self, ti: TaskInstance, key: str, value: Any) -> None:
        ti.store[key] = value
        self._remembered(ti, key, value)

    def forgets(self, ti: TaskInstance, key: str) -> None:
        ti.store.pop(key, None)
        self._remembered(ti, key, None)

    def _remembered(self, ti: TaskInstance, key: str, value: Any) -> None:
        worker = self.world.machine
        if key != KEY or not isinstance(worker, Worker):
            return
        if not isinstance(value, dict) or value.get("state") != "intent":
            ti.intents.pop(worker.number, None)
        elif worker.number not in ti.intents and not value["told"]:
            worker.intended = self.world.now
            ti.intents[worker.number] = self._agreed(worker)
        if not isinstance(value, dict) or value.get("state") != "job":
            return
        job = self.accepted_jobs.get(value["job_id"])
        if job is None:
            return
        job.known = self.world.now if job.known is None else job.known
        job.noted_green = job.noted_green or bool(value.get("green"))
        if ti.answer == job.job_id:
            ti.answer, ti.answered, ti.owed = None, job.job_id, [job]
            job.claimed = self._planned(worker).digest
            self.meet("an answer was used")

    # What Zilliant does.

    def post_begins(self, worker: Worker, place: Place, body: bytes) -> None:
        worker.post = self.world.now
        worker.ti.uncertain += 1
        self.posts += 1
        if not worker.decided:
            column = worker.options["on_clear"] if any(c.time > 0 for c in worker.ti.clears) else "retry"
            self.meet(f"row NOTHING {column}")

    def post_replied(self, worker: Worker, response: Any) -> None:
        worker.last_status = response.status_code
        if response.status_code in REFUSED:
            worker.ti.uncertain -= 1
        if response.status_code == 202:
            try:
                job = self.accepted_jobs.get(json.loads(response.content)["jobId"])
            except ValueError:
                return
            if job is not None:
                job.replied = True
                worker.ti.uncertain -= 1

    def accepted(self, worker: Worker | None, place: Place, job: Any, asked: dict[str, Any]) -> None:
        assert worker is not None, "only a worker submits"
        dice = self.world.dice
        job.closed_at = job.started_at + (10.0 if self.kind == "queue" else 10 ** dice.uniform(0, 3.2))
        job.result = "COMPLETED" if self.kind == "queue" else dice.choice(RESULTS)
        new = Accepted(job.job_id, place, asked, job, worker, worker.post, self.world.now)
        self.accepted_jobs[job.job_id] = new
        ti = worker.ti
        self.world.note(f"Zilliant accepts {job.job_id} of {worker!r}: {truth.digest(place.url, asked)}")
        if self.strikes("forget"):
            self.world.after(10 ** dice.uniform(0, 3.6), lambda: self._forget(new))
        if worker.killed_before:
            self.violate("a killed task submitted", f"{worker!r}")
        passed = [one for number, jobs in ti.intents.items() if number != worker.number for one in jobs]
        for earlier in ti.owed:
            if earlier in passed:
                continue  # an intent without outcome stands between them, and that one was agreed to
            why = truth.objection(earlier, new, ti)
            if why is not None:
                self.violate(
                    REPLACED if self._was_replaced(ti) else "published twice",
                    f"{new.job_id} after {earlier.job_id}: {why}",
                )
        if ti.answer and self.version.clear_keeps and worker.options["durable"]:
            self.violate("an answer was ignored", f"{new.job_id}")
        ti.owed = [new]

    def _was_replaced(self, ti: TaskInstance) -> bool:
        """Whether a second clear began a try while the process before was still being killed, before Airflow 3.3.

        Then two processes of one task instance run for some seconds, and nothing tells the older one.
        """
        return self.version.memory == "variables" and any(
            sum(one.started <= clear.time <= (one.ended or self.world.now) for clear in ti.clears) > 1
            for one in self.workers
            if one.ti is ti
        )

    def _planned(self, worker: Worker) -> Accepted:
        """What this process asks for."""
        ask = worker.ask
        parameters = {"WORKFLOW_AUTOMATION_ID": ask["workflow_automation_id"], **ask["parameters"]}
        asked = {"descriptor": ask["descriptor"], "scope": ask["scope"], "parameters": parameters}
        place = self.places[self._connections[ask["zilliant_conn_id"]]]
        return Accepted("", place, asked, None, worker, self.world.now, self.world.now)

    def _agreed(self, worker: Worker) -> list[Accepted]:
        """The jobs beside which this process may submit now."""
        planned = self._planned(worker)
        return [job for job in worker.ti.owed if truth.objection(job, planned, worker.ti) is None]

    def _forget(self, job: Accepted) -> None:
        job.place.engine.jobs.pop(job.job_id, None)
        job.forgotten = True
        self.world.note(f"Zilliant forgets {job.job_id}")

    def _occupy(self, seconds: float) -> None:
        """Another system's job holds the scope."""
        body = {"descriptor": "D", "scope": "us", "parameters": {"WORKFLOW_AUTOMATION_ID": "foreign"}}
        job = self.places[HERE].engine.submit(body)
        job.closed_at = self.world.now + seconds

    # The triggerers.

    def assign(self, ti: TaskInstance, row: Any) -> None:
        """``models/trigger.py:assign_unassigned``."""
        alive = [one for one in self.triggerers if not one.dead]
        dice = self.world.dice
        triggerer = dice.choice(alive)
        self.assigned[id(row)] = ti, row, triggerer
        self.world.after(dice.uniform(0.2, 2), lambda: self._begin(ti, row, triggerer), triggerer)
        if self.strikes("restart"):
            self.world.after(10 ** dice.uniform(0, 2.5), lambda: self._restart(triggerer))
        if self.strikes("double"):
            other = dice.choice(alive)
            if other is not triggerer:
                self.meet("a trigger twice")
                self.world.after(dice.uniform(1, 50), lambda: self._begin(ti, row, other), other)

    def _begin(self, ti: TaskInstance, row: Any, triggerer: Triggerer) -> None:
        if ti.row is row:
            triggerer.begin(ti, row)

    def _restart(self, triggerer: Triggerer) -> None:
        """SIGKILL; what it ran is found by its successor, or by another one after 30 s without a heartbeat."""
        if triggerer.dead:
            return
        self.world.note("a triggerer is killed")
        self.meet("crash: triggerer")
        triggerer.die()
        new = Triggerer(self, triggerer.skew)
        self.triggerers.append(new)
        for ti, row, whose in list(self.assigned.values()):
            if whose is triggerer and ti.row is row:
                seconds = self.world.dice.uniform(3, 60)
                self.world.after(seconds, lambda ti=ti, row=row: self._reassign(ti, row, new))  # type: ignore[misc]

    def _reassign(self, ti: TaskInstance, row: Any, triggerer: Triggerer) -> None:
        if ti.row is row and not triggerer.dead:
            self.assigned[id(row)] = ti, row, triggerer
            self.world.after(0, lambda: self._begin(ti, row, triggerer), triggerer)
        elif ti.row is row:
            self.assign(ti, row)

    def cancel(self, row: Any) -> None:
        for triggerer in self.triggerers:
            if not triggerer.dead:
                self.world.after(self.tick, lambda one=triggerer: one.stop(row), triggerer)  # type: ignore[misc]

    def requested(self, triggerer: Triggerer, origin: str) -> None:
        """A trigger sends a request: not to an address that the Connection no longer named when it began."""
        if self._moved is None:
            return
        since = triggerer.since.get(asyncio.current_task())
        if since is not None and since > self._moved:
            self.meet("item 10")
            if origin == HERE:
                self.violate(MOVE, f"{origin}, moved {since - self._moved:.0f} s before")

    # The workers' ends.

    def terminate(self, worker: Worker, why: str) -> None:
        """SIGTERM, and SIGKILL five seconds later (``supervisor.py:kill``)."""
        if worker.dead:
            return
        self.world.note(f"{worker!r}: SIGTERM ({why})")
        before = self.world.machine
        if worker.task is None:
            worker.die()
            worker.ti.ended(worker, killed=True)
            return
        self.world.machine = worker
        try:
            worker.killed_time = self.world.now
            worker.task.on_kill()
        finally:
            self.world.machine = before
        if worker.blocked_in == "sleep":
            self.meet("item 16")
        if worker.blocked_in == "request" and worker.requesting == "post":
            self.meet(f"kill of {'2.11' if self.version.term_raises else '3'} in request")
        if self.version.term_raises:
            worker.interrupt(AirflowTaskTerminated("Task received SIGTERM signal"))
        self.world.after(60.0 if self.version.term_raises else 5.0, lambda: self._kill(worker))

    def _kill(self, worker: Worker) -> None:
        if worker.dead:
            return
        if worker.blocked_in == "sleep" and not self.version.term_raises:
            self.violate("a wait outlived a kill", repr(worker))
        self.meet(f"SIGKILL in {worker.blocked_in}")
        self.world.note(f"{worker!r}: SIGKILL")
        worker.die()
        worker.ti.ended(worker, killed=True)

    def airflow_lost(self, ti: TaskInstance) -> None:
        """Airflow has lost a process, or its report: what ``durable=False`` cannot help."""
        self.lost[ti.index].append(self.world.now)

    # People.

    def user_looks(self, ti: TaskInstance) -> None:
        if self.kind == "queue" or self._patience <= 0:
            return
        self._patience -= 1
        self.world.after(self.world.dice.choice((5.0, 60.0, 400.0, 3000.0)), lambda: self._user_acts(ti, ti.state))

    def _user_acts(self, ti: TaskInstance, state: str | None) -> None:
        if ti.state != state or state == "running":
            return
        dice = self.world.dice
        if state == "success":
            if dice.random() < 0.5:
                self._lower_retries(ti)
                ti.clear()
            return
        roll = dice.random()
        if self.strikes("edit before clear"):
            self.edit(ti)
        if roll < 0.12 and ti.options["durable"]:
            self._answer(ti)
            ti.clear()
        elif roll < 0.85:
            self._lower_retries(ti)
            ti.clear()
        elif roll < 0.9:
            ti.mark("success")

    def _lower_retries(self, ti: TaskInstance) -> None:
        if self.strikes("lower retries"):
            ti.retries = max(0, ti.max_tries - ti.try_number)
            self.world.note(f"{ti!r}: retries is {ti.retries} now")
            self.meet("item 6")

    def _answer(self, ti: TaskInstance) -> None:
        """Whoever found the job enters its id; now and then a wrong one."""
        mine = [job for job in self.accepted_jobs.values() if job.worker.ti is ti]
        if not mine:
            return
        job_id = self.world.dice.choice(mine).job_id
        ti.answer = job_id
        self.keeps_state = True
        self.world.note(f"{ti!r}: a person answers with {job_id}")
        if self.version.memory == "state":
            ti.store[ANSWER_KEY] = job_id
        else:
            name = next(name for name, found in self.names.items() if found == (ti, ANSWER_KEY))
            self.variables[name] = job_id

    def edit(self, ti: TaskInstance) -> None:
        """Somebody changes the Dag, or the list that it is mapped over, or the Connection's id."""
        what = self.pick(("workflow", "scope", "parameters", "connection", "back"))
        first = {"workflow_automation_id": "P", "scope": "us", "parameters": {"region": f"r{ti.index}"}}
        ti.ask = {**ti.ask, **first, "zilliant_conn_id": "zilliant_default"} if what == "back" else dict(ti.ask)
        if what == "workflow":
            ti.ask["workflow_automation_id"] = "Q"
        elif what == "scope":
            ti.ask["scope"] = "eu"
        elif what == "parameters":
            ti.ask["parameters"] = {"region": "apac"}
        elif what == "connection":
            ti.ask["zilliant_conn_id"] = "zilliant_other"
        self.world.note(f"{ti!r}: edited ({what})")

    def _somebody_stops_it(self) -> None:
        """A person stops a task that takes too long, or starts it over."""
        ti = self.tis[0]
        if ti.state in ("running", "deferred", "up_for_retry") and self.strikes("somebody stops it", 1.0):
            if self.world.dice.random() < 0.6:
                ti.mark("failed")
            else:
                ti.clear()

    def _something_happens(self) -> None:
        dice = self.world.dice
        ti = dice.choice(self.tis)
        what = dice.choice(
            (
                "clear",
                "clear",
                "clear twice",
                "other clear",
                "retries",
                "edit",
                "stumble",
                "window",
                "fail",
                "revoke",
                "move",
            )
        )
        if not self.strikes(what, 1.0):
            return
        now = self.world.now
        self.world.note(f"happens: {what}")
        if what == "clear" and ti.state is not None:
            ti.clear()
        elif what == "clear twice" and ti.state is not None:
            ti.clear()
            self.world.after(dice.choice((0.1, 3.0, 30.0)), ti.clear)
        elif what == "other clear":
            self.clear_number += 1
        elif what == "retries":
            ti.retries = dice.choice((0, 1, 2, 5))
        elif what == "edit":
            self.edit(ti)
        elif what == "stumble":
            self._stumbles.append((now, now + dice.choice((5.0, 40.0, 300.0))))
        elif what == "window":
            kind = dice.choice(("404 json", "404 page", "502", "503", "500"))
            seconds = 20.0 if kind == "404 json" else dice.choice((5.0, 60.0, 400.0))
            for place in self.places.values():
                place.windows.append((now, now + seconds, kind))
        elif what == "fail" and ti.state not in ("failed", "success", "skipped"):
            ti.mark("failed")
        elif what == "move":
            self._move()
        elif what == "revoke":
            for place in self.places.values():
                place.engine.revoke_tokens()

    def _move(self) -> None:
        """Zilliant gets another address, the Connection is edited, and the old address answers no more."""
        place = Place(self, MOVED)
        if HERE in self.places:
            place.engine = self.places.pop(HERE).engine
            self.places[MOVED] = place
            self._passwords[MOVED] = self._passwords[HERE]
            self._connections["zilliant_default"] = MOVED
            self._moved = self.world.now

    # What is checked.

    def check_text(self, text: str, where: str) -> None:
        if PROXY_SECRET in text:
            self.violate(PROXY, f"in {where}: {text[:300]}")
        for secret in SECRETS:
            if secret in text:
                self.violate("a secret", f"in {where}: {text[:300]}")

    def check_error(self, worker: Worker, error: BaseException) -> None:
        allowed = (AirflowException, AirflowTaskTimeout, AirflowTaskTerminated, AirflowRuntimeError, Injected)
        why = truth.check_type(error, allowed)
        if why is not None:
            self.violate("an untyped failure", why)
        self.meet(f"error {type(error).__name__}")
        ti = worker.ti
        is_question = isinstance(error, ZilliantSubmissionUnknownError) and ti.unrestored == worker.try_number
        if is_question and not ti.uncertain and not self.lost[ti.index] and not ti.clears:
            self.violate("an untrue question", f"every POST was refused: {error}")
        if isinstance(error, ZilliantConfigError) and "isn't defined" in str(error) and worker.next_method:
            self.violate(STUMBLE, str(error))

    def returned(self, worker: Worker, result: Any) -> None:
        """The operator says that its task is green."""
        ti = worker.ti
        if worker.killed_time is not None:
            return
        job = self.accepted_jobs.get(result)
        if job is None:
            return self.violate("green without a job", repr(result))
        answered = ti.answered == job.job_id
        if job.worker.ti is not ti and not answered:
            self.violate("green with another task's job", repr(job.job_id))
        asks = [one.ask for one in self.workers if one.ti is ti and one.try_number == worker.try_number]
        wanted = [(a["workflow_automation_id"], a["scope"], a["parameters"]["region"]) for a in asks]
        parameters = job.asked["parameters"]
        if not answered:
            got = (parameters["WORKFLOW_AUTOMATION_ID"], job.asked.get("scope"), parameters["region"])
            if got not in wanted:
                self.violate("green with a job of another ask", f"{got}, not {wanted}")
            urls = ti.urls.get(worker.try_number, ())
            if job.place.url not in urls:
                self.violate("green with a job of another environment", f"{job.place.url}, not {urls}")
            if any(
                time <= clear.time and clear.was_green and job_id == job.job_id and self._had_to_publish(ti, clear, job)
                for time, job_id in ti.greens
                for clear in ti.clears
            ):
                self.violate("green again without publishing", f"with {job.job_id}")
        if ti.options["wait_for_completion"] and job.job.result != "COMPLETED":
            self.violate("green without COMPLETED", f"{job.job_id} {job.job.result}")
        if ti.options["wait_for_completion"] and self.world.now < job.job.closed_at:
            self.violate("green before the end", job.job_id)

    def _had_to_publish(self, ti: TaskInstance, clear: Any, job: Accepted) -> bool:
        """Whether a clear of a green task meant a new job, and not the old one, as ``on_clear="attach"`` may mean."""
        if ti.options["on_clear"] != "attach":
            return True
        starts = [one.started for one in self.workers if one.ti is ti and one.started > clear.time]
        was_open = bool(starts) and starts[0] < job.job.closed_at
        return job.noted_green and not was_open  # what could not be noted counts as never green

    def decided(self, found: Any, sign: Any, on_clear: str, decision: Any) -> None:
        worker: Any = self.world.machine
        worker.decided = True
        if decision.name in ("ATTACH", "RETURN") and sign.name == "CLEAR":
            worker.ti.attached_after_clear = True
        elif worker.ti.attached_after_clear and sign.name == "RETRY":
            self.meet("item 2")
        if found.name.startswith("OTHER"):
            self.meet("item 7")
        column = {"RETRY": "retry", "CLEAR": on_clear, "DOUBT": "doubt"}[sign.name]
        self.meet(f"row {found.name} {column}")

    def violate(self, kind: str, text: str) -> None:
        """The life ends here; the operator must not get hold of it, as it would of an exception."""
        if kind in self.held_back:
            self.meet(f"held back: {kind}")
            return
        if self.violation is None:
            self.violation = Violation(kind, text)
            self.world.note(f"VIOLATION: {self.violation}")
        self.world.stopped = True

    def meet(self, what: str) -> None:
        self.reached[what] += 1

    def make_task(self, worker: Worker) -> Any:
        return self.seams.make_task(worker, airflow._Log(worker))

    def live(self) -> None:
        """Runs it to its end.

        :raises Violation: an invariant does not hold.
        """
        try:
            self.world.run(limit=40 * DAY, most=120_000)
        except Endless as error:
            self.violate("a wait without an end", str(error))
        finally:
            for worker in self.workers:
                worker.bury()
            for triggerer in self.triggerers:
                triggerer.bury()
        for ti in self.tis:
            if ti.state not in ("success", "failed", "skipped"):
                self.violate("a wait without an end", f"{ti!r} is {ti.state} for ever")
        if self.kind == "queue":
            self.meet("item 13")
            if self.posts > 2 * len(self.tis) - 1:
                self.violate(LINE, f"{self.posts} POSTs for {len(self.tis)} tasks")
        if self.violation is not None:
            raise self.violation
