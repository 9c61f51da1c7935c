"""`deploy/kubeflow/upload.py` with Kubeflow's own client, against a server that keeps pipelines, versions and runs."""

from __future__ import annotations

import http.server
import json
import re
import runpy
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.deploy.manifests import DEPLOY

_API = "/apis/v2beta1"


class Kubeflow(http.server.ThreadingHTTPServer):
    """A fake of Kubeflow Pipelines' API server, limited to what an upload needs.

    The upload of a pipeline creates its first version, under the pipeline's name (`CreatePipelineAndPipelineVersion` in
    `backend/src/apiserver`).
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.namespace = ""
        self.versions: list[dict[str, str]] = []
        self.recurring_runs: list[dict[str, Any]] = []
        self.made = 0

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """Returns the response to a request; raises KeyError for an unknown request."""
        if (method, path) == ("POST", "/pipelines/upload"):
            assert not self.versions, "a pipeline of this name exists"
            self.namespace = query.get("namespace", "")
            self._add(query["name"])
            return {"pipeline_id": "p", "display_name": query["name"]}
        if (method, path) == ("POST", "/pipelines/upload_version"):
            assert query["pipelineid"] == "p"
            return self._add(query["name"])
        if (method, path) == ("GET", "/pipelines"):
            assert json.loads(query["filter"])["predicates"] == [
                {"operation": "EQUALS", "key": "display_name", "stringValue": "store"}
            ]
            is_there = self.versions and query.get("namespace", "") == self.namespace
            return {"pipelines": [{"pipeline_id": "p"}] if is_there else []}
        if (method, path) == ("GET", "/pipelines/p/versions"):
            return {"pipeline_versions": self.versions[: int(query["page_size"])], "total_size": len(self.versions)}
        if (method, path) == ("GET", "/experiments"):
            return {"experiments": [{"experiment_id": "e", "display_name": "store"}]}
        if (method, path) == ("GET", "/recurringruns"):
            return {"recurringRuns": self.recurring_runs}
        if (method, path) == ("POST", "/recurringruns"):
            self.made += 1
            self.recurring_runs.append({**body, "recurring_run_id": f"r{self.made}"})
            return self.recurring_runs[-1]
        if method == "DELETE" and (found := re.fullmatch("/recurringruns/(.*)", path)):
            self.recurring_runs = [run for run in self.recurring_runs if run["recurring_run_id"] != found[1]]
            return {}
        raise KeyError((method, path))

    def _add(self, name: str) -> dict[str, str]:
        number = len(self.versions) + 1
        self.versions.append({"pipeline_id": "p", "pipeline_version_id": f"v{number}", "display_name": name})
        return self.versions[-1]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Kubeflow

    def _handle(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        content = self.rfile.read(length)
        body = json.loads(content) if "json" in self.headers.get("content-type", "") and content else None
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        try:
            answer, status = self.server.answer(self.command, url.path.removeprefix(_API), query, body), 200
        except KeyError as error:
            answer, status = {"error": f"not known here: {error}"}, 404
        page = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Suppresses the log."""


@pytest.fixture
def kubeflow() -> Iterator[Kubeflow]:
    with Kubeflow() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def upload(
    kubeflow: Kubeflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., list[str]]:
    """Runs the script on a pipeline file; returns its output lines on versions and recurring runs."""
    monkeypatch.setenv("HOME", str(tmp_path))  # Kubeflow's client keeps its settings there
    file = tmp_path / "store.yaml"
    file.write_text(
        "components: {comp-a: {executorLabel: exec-a}}\n"
        "deploymentSpec: {executors: {exec-a: {container: {image: wdr}}}}\n"
        "pipelineInfo: {name: store}\n"
        "root: {dag: {tasks: {a: {componentRef: {name: comp-a}, taskInfo: {name: a}}}}}\n"
        "schemaVersion: 2.1.0\nsdkVersion: kfp-2.16.1\n"
    )
    host = f"http://127.0.0.1:{kubeflow.server_address[1]}"
    script = runpy.run_path(str(DEPLOY / "kubeflow" / "upload.py"))

    def run(*arguments: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["upload.py", str(file), "--host", host, "--namespace", "team", *arguments])
        script["main"]()
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith(("version", "recurring"))]

    return run


def test_the_first_upload_makes_one_version_and_the_second_another(
    kubeflow: Kubeflow, upload: Callable[..., list[str]]
) -> None:
    assert upload("--cron", "0 0 4 * * *") == [
        "version store of store",
        "recurring run r1: 0 0 4 * * *",
    ]
    assert [version["display_name"] for version in kubeflow.versions] == ["store"]
    (run,) = kubeflow.recurring_runs
    assert run["pipeline_version_reference"] == {"pipeline_id": "p", "pipeline_version_id": "v1"}
    assert (kubeflow.namespace, run["no_catchup"]) == ("team", False)
    said, recurring = upload("--cron", "0 0 5 * * *", "--no-catchup")
    assert re.fullmatch(r"version store-\d{8}T\d{6} of store", said)
    assert recurring == "recurring run r2: 0 0 5 * * *"
    assert len(kubeflow.versions) == 2
    (run,) = kubeflow.recurring_runs
    assert run["pipeline_version_reference"] == {"pipeline_id": "p", "pipeline_version_id": "v2"}
    assert run["no_catchup"] is True
