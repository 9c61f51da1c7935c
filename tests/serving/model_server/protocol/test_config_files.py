"""Tests of TF Serving's configuration files: of the models, with and without polling, and of monitoring."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.model_server.engine.models import ModelConfig
from serving.model_server.protocol import config_files
from serving.model_server.protocol.config_files import prometheus_path, read_models
from tests.serving.model_server.answers import of
from tests.serving.model_server.running import POLL, running, wait_for
from tests.serving.model_server.tiny_models import push
from transform.errors import UserError

MODELS = """
model_config_list {{
  config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" }}
}}
"""


MODEL_A = 'config { name: "a" base_path: "/" }'


def written(path: Path, text: str) -> Path:
    """Writes a file; it is replaced as a whole, so that a server that polls never reads a part of it."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    return part.replace(path)


def test_models(tmp_path: Path) -> None:
    text = """
    model_config_list {
      config {
        name: "a" base_path: "file:///models/a" model_platform: "tensorflow"
        model_version_policy { specific { versions: 3 versions: 5 } }
        version_labels { key: "stable" value: 3 }
      }
      config { name: "b" base_path: "/models/b" model_version_policy { all {} } }
      config { name: "c" base_path: "/models/c" model_version_policy { latest { num_versions: 2 } } }
    }
    """
    assert read_models(str(written(tmp_path / "models.config", text))) == [
        ModelConfig("a", "/models/a", 1, (3, 5), {"stable": 3}),
        ModelConfig("b", "/models/b", None),
        ModelConfig("c", "/models/c", 2),
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("improperly formatted file", "Error parsing text-format tensorflow.serving.ModelServerConfig: "),
        ("", "a model configuration must have a model_config_list"),
        (MODELS.format(name="a", path="a"), "to have an absolute path; got base_path()=a"),
        (f"model_config_list {{ {MODEL_A} {MODEL_A} }}", "Illegal to list model multiple times in config list"),
    ],
)
def test_a_wrong_model_configuration(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(UserError) as caught:
        read_models(str(written(tmp_path / "models.config", text)))
    assert error in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('prometheus_config: { enable: true, path: "/m" }', "/m"),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config { path: "/m" }', None),
        ("", None),
    ],
)
def test_monitoring(tmp_path: Path, text: str, expected: str | None) -> None:
    assert prometheus_path(str(written(tmp_path / "monitoring.config", text))) == expected


@pytest.mark.parametrize(
    ("text", "error"), [("x", "Error parsing"), ('prometheus_config {enable: true path: "m"}', "/")]
)
def test_a_wrong_monitoring_configuration(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(UserError, match=error):
        prometheus_path(str(written(tmp_path / "monitoring.config", text)))


def test_a_server_follows_its_files(tmp_path: Path, saved: Callable[[float], Path]) -> None:
    """An invalid configuration in between changes nothing, and is logged once."""
    for name, bias in (("a", 1.0), ("b", 5.0)):
        push(saved(bias), tmp_path / name / "00000007")
    models = written(tmp_path / "models.config", MODELS.format(name="a", path=tmp_path / "a"))
    monitoring = written(tmp_path / "monitoring.config", "prometheus_config { enable: true }")
    options = ("--model-config-file", models, "--model-config-poll-seconds", "0.1", *POLL)
    with running(*options, "--monitoring-config-file", monitoring) as server:
        assert of(server, "a") == (7, 1.0)
        assert "# TYPE wdr_loaded gauge" in server.rest.get("/monitoring/prometheus/metrics").text
        written(models, MODELS.format(name="b", path=tmp_path / "none"))
        server.wait_for_log("a model configuration was refused")
        assert of(server, "a") == (7, 1.0)
        written(models, MODELS.format(name="b", path=tmp_path / "b"))
        server.wait_for_log("a model configuration was taken over", models=["b"])
        assert of(server, "b") == (7, 5.0)
        wait_for(lambda: server.states("a") == {}, "the end of model a")
    assert [line["message"] for line in server.log].count("a model configuration was refused") == 1


def test_a_mistake_that_is_made_again_is_told_again(
    tmp_path: Path, logged: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An invalid configuration that stays is logged once."""
    right = MODELS.format(name="a", path="/a")
    path = str(written(tmp_path / "models.config", right))
    contents = ["wrong", "wrong", right, "wrong", "wrong"]
    models = read_models(path)

    def read_next(path: str) -> list[ModelConfig]:
        if not contents:
            raise EOFError
        return read_models(str(written(Path(path), contents.pop(0))))

    async def reconfigure(models: list[ModelConfig]) -> None:
        raise AssertionError(models)

    monkeypatch.setattr(config_files, "read_models", read_next)
    with pytest.raises(EOFError):
        asyncio.run(config_files.follow(path, 0.0, models, reconfigure))
    assert [line["message"] for line in logged()] == ["a model configuration was refused"] * 2


def test_without_a_configuration_there_is_no_other_page_of_metrics(tmp_path: Path) -> None:
    with running("--models", tmp_path, ready=False) as server:
        assert server.rest.get("/monitoring/prometheus/metrics").status_code == 404


def test_a_configuration_file_is_alone(tmp_path: Path) -> None:
    models = written(tmp_path / "models.config", MODELS.format(name="a", path=tmp_path))
    command = [
        sys.executable,
        "-m",
        "serving.model_server",
        "--model-config-file",
        str(models),
        "--models",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    error = "Error: `--model-config-file` must be alone. Received beside it: --models"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, error)
