"""Tests that a new configuration takes effect as a whole or not at all, once its models are loaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2

from tests.serving.model_server.answers import answer, of
from tests.serving.model_server.requests import Hold, refusal
from tests.serving.model_server.running import Server, running, wait_for
from tests.serving.model_server.tiny_models import MODEL, push, write_warmup, x_request

Saved = Callable[[float], Path]


def reload_request(*configs: dict[str, Any]) -> model_management_pb2.ReloadConfigRequest:
    return model_management_pb2.ReloadConfigRequest(config={"model_config_list": {"config": configs}})


def reloaded(server: Server, *configs: dict[str, Any]) -> None:
    assert server.models.HandleReloadConfigRequest(reload_request(*configs)).status.error_code == 0


def copied(template: Path, folder: Path) -> Path:
    """A version without a manifest, as after a copy that has just ended."""
    shutil.copytree(template, folder)
    (folder / "assets.extra" / "manifest.json").unlink()
    return folder


@pytest.fixture
def other(tmp_path: Path, saved: Saved) -> Path:
    """The folder of a model whose version 1 computes x / 2 + 5."""
    push(saved(5.0), tmp_path / "others" / "other" / "1")
    return tmp_path / "others" / "other"


@pytest.mark.parametrize(
    "broken", ["label", "damaged", *(pytest.param(how, marks=pytest.mark.slow) for how in ("missing", "empty"))]
)
def test_a_refused_configuration_changes_nothing(
    changing: Server, folder: Path, other: Path, tmp_path: Path, broken: str
) -> None:
    """Its valid parts have no effect either: another version, another folder, and a further model."""
    name = str(tmp_path / "broken")
    if broken in ("damaged", "empty"):
        Path(name).mkdir()
    if broken == "damaged":
        copied(folder / "1", Path(name) / "3")
        (Path(name) / "3" / "saved_model.pb").write_bytes(b"none")
    wrong: dict[str, dict[str, Any]] = {
        "label": {"name": "third", "base_path": str(other), "version_labels": {"stable": 7}},
        "damaged": {"name": "third", "base_path": name},
        "missing": {"name": "third", "base_path": name},
        "empty": {"name": "third", "base_path": name},
    }
    error = {
        "label": "Request to assign label to version 7 of model third, which is not currently available for inference",
        "damaged": "1 model(s) did not become available: {{{name: third} due to error: ",
        "missing": f"Could not find base path {name} for servable third",
        "empty": f"NOT_FOUND: Unable to find a numerical version path for servable third at: {name}",
    }
    right = {"name": MODEL, "base_path": str(other)}, {"name": "other", "base_path": str(other)}
    code, message = refusal(changing.models.HandleReloadConfigRequest, reload_request(*right, wrong[broken]))
    codes = {"label": grpc.StatusCode.FAILED_PRECONDITION, "missing": grpc.StatusCode.INVALID_ARGUMENT}
    assert code is codes.get(broken, grpc.StatusCode.UNKNOWN)
    assert error[broken] in message
    assert answer(changing) == (1, 1.0)
    assert changing.states(MODEL) == {1: "AVAILABLE"}
    for model in ("other", "third"):
        assert refusal(changing.predictions.Predict, x_request([0.0], model))[0] is grpc.StatusCode.NOT_FOUND
    push(other / "1", folder / "2")  # the folder is still polled
    wait_for(lambda: answer(changing) == (2, 5.0), "version 2")


def test_a_reload_waits_for_what_it_adds(changing: Server, folder: Path, other: Path, saved: Saved) -> None:
    copied(saved(6.0), other / "2")  # complete once its files have been unchanged for a while
    (other / "1").rename(other.parent / "1")
    reloaded(changing, {"name": "other", "base_path": f"file://{other}"})
    assert of(changing, "other") == (2, 6.0)
    assert refusal(changing.predictions.Predict, x_request([0.0]))[0] is grpc.StatusCode.NOT_FOUND


def test_the_same_version_of_another_folder(changing: Server, other: Path) -> None:
    reloaded(changing, {"name": MODEL, "base_path": str(other)})
    assert answer(changing) == (1, 5.0)


def test_all_versions(changing: Server, folder: Path, saved: Saved) -> None:
    push(saved(2.0), folder / "2")
    changing.wait_for_states(MODEL, {1: "END", 2: "AVAILABLE"})
    reloaded(changing, {"name": MODEL, "base_path": str(folder), "model_version_policy": {"all": {}}})
    assert changing.states(MODEL) == {1: "AVAILABLE", 2: "AVAILABLE"}
    assert answer(changing, version=1) == (1, 1.0)
    assert answer(changing) == (2, 2.0)


def test_requests_before_the_first_models_are_loaded(tmp_path: Path, saved: Saved, hold: Hold) -> None:
    """TF Serving has not opened its ports at that time. Clients retry after UNAVAILABLE, but not after NOT_FOUND."""
    version = copied(saved(1.0), tmp_path / MODEL / "1")
    write_warmup(version / "assets.extra" / "tf_serving_warmup_requests", [hold.request()])
    status = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "no"})
    with running("--model", f"{MODEL}={tmp_path / MODEL}", "--settle-seconds", "0", ready=False) as server:
        sentence = "the model server is still loading its first models; try again"
        for model in (MODEL, "no"):
            asked = refusal(server.predictions.Predict, x_request([0.0], model))
            assert asked == (grpc.StatusCode.UNAVAILABLE, sentence)
        assert refusal(server.models.GetModelStatus, status) == (grpc.StatusCode.UNAVAILABLE, sentence)
        response = server.rest.post(f"/v1/models/{MODEL}:predict", content='{"instances": [1.0]}')
        assert (response.status_code, response.json()) == (503, {"error": sentence})
        hold.release()
        server.wait_until_ready()
        assert answer(server) == (1, 1.0)
        assert refusal(server.models.GetModelStatus, status)[0] is grpc.StatusCode.NOT_FOUND
