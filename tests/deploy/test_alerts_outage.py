"""The alerts fire on what a server's page of metrics said during real outages, replayed by Prometheus' own tool."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
import yaml
from tensorflow_serving.apis import predict_pb2

from tests.debian import installed
from tests.deploy.manifests import DEPLOY, serving_rules
from tests.serving.model_server.conftest import models, saved  # noqa: F401
from tests.serving.model_server.running import Server, running
from tests.serving.model_server.tiny_models import MODEL, x_request

pytestmark = pytest.mark.slow  # it may have to install Prometheus

#: The pages that are read of a server, each after some requests; they are replayed as if 30 s apart.
_NUM_PAGES = 20
_REPLAYED_SECONDS = 30


def recorded(server: Server, between: Callable[[], None]) -> dict[str, list[str]]:
    """Reads a server's page again and again; returns the values of each series, `_` where a page lacks it."""
    found: dict[str, list[str]] = {}
    for i in range(_NUM_PAGES):
        between()
        for line in server.rest.get("/metrics").text.splitlines():
            if line.startswith("wdr_"):
                series, _, value = line.rpartition(" ")
                found.setdefault(series, ["_"] * i).append(value)
        for values in found.values():
            values.extend(["_"] * (i + 1 - len(values)))
    return found


def firing(series: dict[str, list[str]], folder: Path) -> set[tuple[str, str]]:
    """Returns the alert and the model of each alert that fires after the replay."""
    test = {
        "rule_files": [str(DEPLOY / "prometheus" / "alerts.yaml")],
        "evaluation_interval": f"{_REPLAYED_SECONDS}s",
        "tests": [
            {
                "interval": f"{_REPLAYED_SECONDS}s",
                "input_series": [{"series": name, "values": " ".join(values)} for name, values in series.items()],
                "alert_rule_test": [
                    {"eval_time": f"{(_NUM_PAGES - 1) * _REPLAYED_SECONDS}s", "alertname": name, "exp_alerts": []}
                    for name in serving_rules()
                ],
            }
        ],
    }
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump(test), encoding="utf-8")
    command = [installed("promtool", "prometheus"), "test", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    assert "Unit Testing" in output
    assert (done.returncode == 0) == ("got:" not in output), output
    labels = re.findall(r"Labels:\{([^}]*)\}", output)
    return {(_label("alertname", each), _label("model", each)) for each in labels}


def _label(name: str, labels: str) -> str:
    found = re.search(rf'\b{name}="([^"]*)"', labels)
    return found[1] if found else ""


def slow_request() -> predict_pb2.PredictRequest:
    """A request that takes a second or more."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = MODEL, "slow"
    request.inputs["steps"].CopyFrom(tf.make_tensor_proto(300, tf.int32))
    return request


def test_requests_that_are_all_given_up_raise_an_alert(models: Path, tmp_path: Path) -> None:  # noqa: F811
    """Clients allow 100 ms, and each request takes longer: none is answered, and the server counts no failure."""
    request = slow_request()
    with running("--models", models) as server:

        def ask() -> None:
            calls = [server.predictions.Predict.future(request, timeout=0.1) for _ in range(5)]
            assert {call.code() for call in calls} == {grpc.StatusCode.DEADLINE_EXCEEDED}

        series = recorded(server, ask)
    assert ("RequestsAreGivenUp", MODEL) in firing(series, tmp_path)


def test_requests_that_find_no_version_raise_an_alert_and_those_of_no_model_none(
    models: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    unknown, no_version = x_request([1.0], "unknown"), x_request([1.0])
    no_version.model_spec.version.value = 7
    with running("--models", models) as server:

        def ask(*requests: predict_pb2.PredictRequest) -> None:
            for request in requests:
                server.predictions.Predict.future(request).exception()
            server.predictions.Predict(x_request([1.0]))

        healthy = firing(recorded(server, lambda: ask(unknown)), tmp_path)
        outage = firing(recorded(server, lambda: ask(unknown, no_version)), tmp_path)
    assert healthy == set()
    assert outage == {("RequestsFindNoVersion", MODEL)}
