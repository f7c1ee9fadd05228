"""What those who watch Airflow are told: StatsD, OpenTelemetry and OpenLineage, each by a real one's protocol."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.harness.private_airflow import PrivateAirflow

HERE = Path(__file__).resolve().parent


@dataclass
class Observers:
    """A StatsD, an OpenTelemetry collector, and the file that OpenLineage writes to."""

    events: Path
    stats: list[str] = field(default_factory=list)
    spans: list[Any] = field(default_factory=list)

    def __enter__(self) -> Observers:
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        observers = self

        class Collector(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                told = ExportTraceServiceRequest.FromString(body)
                observers.spans += [s for r in told.resource_spans for scope in r.scope_spans for s in scope.spans]
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._udp.close()

    def _listen(self) -> None:
        while True:
            try:
                self.stats.append(self._udp.recv(65536).decode())
            except OSError:
                return

    @property
    def config(self) -> dict[str, str]:
        transport = {"type": "file", "log_file_path": str(self.events), "append": True}
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self._udp.getsockname()[1]),
            "AIRFLOW__TRACES__OTEL_ON": "True",
            "OTEL_TRACES_EXPORTER": "otlp_proto_http",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{self._http.server_port}/v1/traces",
            "OTEL_SERVICE_NAME": "airflow",
            "OTEL_BSP_SCHEDULE_DELAY": "500",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
            "AIRFLOW__OPENLINEAGE__NAMESPACE": "tests",
        }

    def counted(self, name: str) -> int:
        return sum(int(found[1]) for told in self.stats for found in re.finditer(rf"airflow\.{name}:(\d+)\|c", told))

    def timed(self, name: str) -> list[float]:
        """Milliseconds."""
        return [float(found[1]) for told in self.stats for found in re.finditer(rf"airflow\.{name}:([\d.]+)\|ms", told)]

    def facets(self) -> list[dict[str, Any]]:
        lines = self.events.read_text().splitlines() if self.events.exists() else []
        found = [json.loads(line)["run"]["facets"].get("zilliant_job") for line in lines]
        return [facet for facet in found if facet is not None]


@pytest.fixture(scope="module")
def observers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observers]:
    with Observers(tmp_path_factory.mktemp("lineage") / "events.jsonl") as running:
        yield running


def test_metrics_spans_and_lineage_tell_of_the_jobs(zilliant, observers, tmp_path):
    dags = tmp_path / "dags"
    dags.mkdir()
    shutil.copy(HERE / "dags" / "one_submission.py", dags)
    connections = {"zilliant_default": zilliant.connection()}
    with PrivateAirflow(tmp_path / "airflow", dags, connections=connections, config=observers.config) as airflow:
        # Two tasks over one scope: one of them is refused, and waits until the other's job is closed.
        tasks = airflow.wait_for_run("one_submission", airflow.trigger("one_submission", {"scope": "us", "seconds": 5}))
        assert [task["state"] for task in tasks] == ["success", "success"]
        job_ids = {airflow.xcom(task, "job_id") for task in tasks}
        airflow.wait_until(lambda: {f["jobId"] for f in observers.facets()} >= job_ids, "OpenLineage is told", 30)
        airflow.wait_until(
            lambda: {"zilliant.submission", "zilliant.scope_wait", "zilliant.job"} <= {s.name for s in observers.spans},
            "the spans arrive",
            30,
        )

    assert observers.counted(r"zilliant\.submissions\.accepted") == 2
    assert observers.counted(r"zilliant\.submissions\.busy") >= 1
    assert observers.counted(r"zilliant\.submissions\.unknown") == 0
    assert observers.counted(r"zilliant\.jobs\.completed") == 1  # of the one task that waits for completion
    assert len(observers.timed(r"zilliant\.submission")) >= 3
    (waited,) = observers.timed(r"zilliant\.scope_wait")
    assert 3_000 < waited < 120_000
    (ran,) = observers.timed(r"zilliant\.job")
    assert 4_000 < ran < 10_000

    spans = {span.span_id: span for span in observers.spans}
    sent = [span for span in spans.values() if span.name == "zilliant.submission"]
    told = [{each.key: each.value.string_value for each in span.attributes} for span in sent]
    assert {each.get("zilliant.job_id") for each in told if each["zilliant.outcome"] == "accepted"} == job_ids
    assert {(each["zilliant.workflow"], each["zilliant.scope"]) for each in told} == {("P", "us")}
    workers = {span.span_id for span in spans.values() if span.name.startswith("worker.")}
    assert all(span.parent_span_id in workers for span in sent), "a span of its own trace, and not of the task's"

    facet = next(facet for facet in observers.facets() if facet["jobId"] in job_ids)
    assert (facet["workflow"], facet["scope"]) == ("P", "us")
