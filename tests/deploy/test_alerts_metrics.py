"""The alerts on serving and the dashboard use metrics, labels and codes that the servers export."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest
from fastapi.testclient import TestClient

from serving.rank_service.service import make_app
from serving.ranking_client.settings import ClientSettings
from tests.deploy.manifests import dashboard_expressions, serving_rules
from tests.serving.model_server.conftest import models, saved  # noqa: F401
from tests.serving.model_server.running import running
from tests.serving.model_server.tiny_models import MODEL, x_request

#: Metrics of TF Serving 2.19 (`servables/tensorflow/util.cc`, and TensorFlow's `cc/saved_model/loader.cc`). It replaces
#: `/` by `:` (`util/prometheus_exporter.cc`), and exports a histogram as `_bucket`, `_sum` and `_count`.
TF_SERVING = {
    ":tensorflow:serving:request_count": {"model_name", "status"},
    ":tensorflow:serving:request_latency_bucket": {"model_name", "API", "entrypoint", "le"},
    ":tensorflow:cc:saved_model:load_attempt_count": {"model_path", "status"},
}

#: The metric that Prometheus itself adds for each target.
UP = {"up": {"job", "instance"}}

_WORDS = "unless|on|ignoring|by|sum|max|min|rate|increase|absent|and|or|time|histogram_quantile|label_replace"
_SELECTOR = re.compile(r"(?<![\w:$])(:?[a-z_][\w:]*)(?:\{([^}]*)\})?(?=[\s\[)/<>=!]|$)")


def named(expression: str) -> set[tuple[str, frozenset[str]]]:
    """Returns the metrics in an expression, each with the labels in its selector."""
    without = re.sub(r"\b(?:by|on) \([^)]*\)|\"(?:[^\"\\]|\\.)*\"(?=[,)])", "", expression)
    found = set()
    for metric, matchers in _SELECTOR.findall(without):
        if not re.fullmatch(_WORDS, metric):
            found.add((metric, frozenset(re.findall(r"(\w+)(?:=~|!~|!=|=)", matchers))))
    return found


def grouped(expression: str) -> set[str]:
    """Returns the labels that an expression groups by."""
    return {label.strip() for each in re.findall(r"by \(([^)]*)\)", expression) for label in each.split(",")}


def on_page(text: str) -> dict[str, set[str]]:
    """Returns the metrics of a page in Prometheus' format, each with the labels of its series."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, labels = line.rpartition(" ")[0].partition("{")
            found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


@pytest.fixture(scope="module")
def exported(models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:  # noqa: F811
    """The metrics that running servers (`wdr serve` and the ranking service) export, each with its labels."""
    broken = tmp_path_factory.mktemp("broken")
    (broken / "7").mkdir()
    (broken / "7" / "saved_model.pb").write_text("no model")
    config = tmp_path_factory.mktemp("config") / "models.config"
    pinned = "model_version_policy { specific { versions: 123 } }"
    config.write_text(
        f'model_config_list {{ config {{ name: "{MODEL}" base_path: "{models / MODEL}" {pinned} }}\n'
        f'config {{ name: "broken" base_path: "{broken}" }} }}'
    )
    with running("--model-config-file", config, "--settle-seconds", "0.1") as server:
        server.predictions.Predict(x_request([1.0]))
        server.wait_for_states("broken", {7: "END"})
        page = server.rest.get("/metrics").text
    with TestClient(make_app(ClientSettings(model=MODEL), 1000, 1, 1.0)) as service:
        service.get("/rank")
        service_page = service.get("/metrics").text
    return on_page(page) | on_page(service_page) | TF_SERVING | UP


EXPRESSIONS = serving_rules() | dashboard_expressions()


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_the_metrics_and_labels_of_an_expression_are_exported(name: str, exported: dict[str, set[str]]) -> None:
    expression = EXPRESSIONS[name]
    metrics = named(expression)
    assert metrics
    for metric, labels in metrics:
        assert metric in exported
        assert labels <= exported[metric] | UP["up"]
    every = {label for metric, _ in metrics for label in exported[metric]} | UP["up"]
    assert grouped(expression) <= every


def test_codes_are_grpc_s_by_name() -> None:
    codes = {
        code
        for expression in EXPRESSIONS.values()
        for codes in re.findall(r'(?:code|status)=~?"([A-Z_|]+)"', expression)
        for code in codes.split("|")
    }
    assert codes
    assert codes <= {code.name for code in grpc.StatusCode}


def test_a_name_that_is_not_exported_would_be_seen() -> None:
    assert named('sum by (le) (rate(wdr_request_second_bucket{cod="OK"}[5m])) > 0.2') == {
        ("wdr_request_second_bucket", frozenset({"cod"}))
    }
    assert named("absent(a) and on () absent(:b:c{d='e'})") == {("a", frozenset()), (":b:c", frozenset({"d"}))}
