"""Tests of versions that appear, serve, are drained and are unloaded."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import model_management_pb2, predict_pb2

from tests.serving.model_server.answers import Saved, answer
from tests.serving.model_server.requests import Hold, refusal
from tests.serving.model_server.running import POLL, Server, running, wait_for
from tests.serving.model_server.tiny_models import MODEL, push, x_request


def test_a_new_version_takes_over_and_the_old_one_goes(changing: Server, folder: Path, saved: Saved) -> None:
    assert answer(changing) == (1, 1.0)
    push(saved(2.0), folder / "2")
    changing.wait_for_states(MODEL, {1: "END", 2: "AVAILABLE"})
    assert answer(changing) == (2, 2.0)
    assert refusal(changing.predictions.Predict, _of_version(1)) == (
        grpc.StatusCode.NOT_FOUND,
        f"Servable not found for request: Specific({MODEL}, 1)",
    )
    shutil.rmtree(folder / "1")
    push(saved(3.0), folder / "3")  # once it serves, the server has seen that version 1 is gone
    changing.wait_for_states(MODEL, {1: "END", 2: "END", 3: "AVAILABLE"})


def test_an_older_version_answers_when_the_newest_one_s_folder_goes(
    changing: Server, folder: Path, saved: Saved, tmp_path: Path
) -> None:
    push(saved(2.0), folder / "2")
    wait_for(lambda: answer(changing) == (2, 2.0), "version 2")
    (folder / "2").rename(tmp_path / "2")
    changing.wait_for_states(MODEL, {1: "AVAILABLE", 2: "END"})
    assert answer(changing) == (1, 1.0)
    told = changing.wait_for_log("the newest version's folder is gone; an older version answers", model=MODEL)
    assert (told["level"], told["version"], told["gone"]) == ("warning", 1, 2)
    assert f'wdr_loaded{{model="{MODEL}",version="1"}} 1.0' in changing.rest.get("/metrics").text
    assert f'wdr_loaded{{model="{MODEL}",version="2"}}' not in changing.rest.get("/metrics").text


def _of_version(number: int) -> predict_pb2.PredictRequest:
    sent = x_request([0.0])
    sent.model_spec.version.value = number
    return sent


@pytest.mark.slow
def test_swaps_under_load_fail_no_request_and_never_go_back(changing: Server, folder: Path, saved: Saved) -> None:
    biases = {1: 1.0}
    stop = threading.Event()
    answered: list[list[tuple[int, float]]] = [[] for _ in range(4)]

    def ask(found: list[tuple[int, float]]) -> None:
        while not stop.is_set():
            found.append(answer(changing))

    def wait_for_an_answer(number: int) -> None:
        def answers() -> bool:
            return any(found and found[-1][0] == number for found in answered)

        wait_for(answers, f"an answer of version {number}", changing.process)

    with ThreadPoolExecutor(len(answered)) as pool:
        asking = [pool.submit(ask, found) for found in answered]
        try:
            wait_for_an_answer(1)
            for number in range(2, 8):
                biases[number] = float(number % 3)
                push(saved(biases[number]), folder / str(number))
                changing.wait_for_state(MODEL, number, "AVAILABLE")
                wait_for_an_answer(number)
        finally:
            stop.set()
        for each in asking:
            each.result()  # raises the error of a request
    assert {number for found in answered for number, _ in found} == set(range(1, 8))
    for found in answered:
        assert all(bias == biases[number] for number, bias in found)
        assert [number for number, _ in found] == sorted(number for number, _ in found)


def test_the_newest_versions_are_kept(folder: Path, saved: Saved) -> None:
    for number in (2, 3):
        push(saved(float(number)), folder / str(number))
    with running("--models", folder.parent, "--keep-versions", "2", *POLL) as server:
        server.wait_for_states(MODEL, {2: "AVAILABLE", 3: "AVAILABLE"})
        assert answer(server) == (3, 3.0)
        assert answer(server, version=2) == (2, 2.0)


def test_labels_and_specific_versions(folder: Path, saved: Saved) -> None:
    for number in (2, 3):
        push(saved(float(number)), folder / str(number))
    labels = ("--label", f"{MODEL}:stable=1", "--label", f"{MODEL}:canary=2")
    with running("--model", f"{MODEL}={folder}", "--specific", f"{MODEL}=2", *labels, *POLL) as server:
        server.wait_for_states(MODEL, {1: "AVAILABLE", 2: "AVAILABLE"})
        assert answer(server) == (2, 2.0)
        assert answer(server, label="stable") == (1, 1.0)
        assert answer(server, label="canary") == (2, 2.0)
        rest = server.rest.post(f"/v1/models/{MODEL}/labels/stable:predict", content='{"instances": [0.0]}')
        assert rest.json() == {"predictions": [1.0]}
        (status,) = server.rest.get(f"/v1/models/{MODEL}/labels/canary").json()["model_version_status"]
        assert status["version"] == "2"


def test_the_configuration_can_be_changed(changing: Server, folder: Path, saved: Saved) -> None:
    push(saved(2.0), folder / "2")
    changing.wait_for_states(MODEL, {1: "END", 2: "AVAILABLE"})
    sent = model_management_pb2.ReloadConfigRequest()
    config = sent.config.model_config_list.config.add(name=MODEL, base_path=str(folder), model_platform="tensorflow")
    config.model_version_policy.specific.versions.append(1)
    config.version_labels["stable"] = 1
    sent.config.model_config_list.config.add(name="other", base_path=str(folder))
    assert changing.models.HandleReloadConfigRequest(sent).status.error_code == 0
    assert answer(changing) == (1, 1.0)
    assert answer(changing, label="stable") == (1, 1.0)
    assert changing.predictions.Predict(x_request([0.0], "other")).model_spec.version.value == 2
    changing.wait_for_states(MODEL, {1: "AVAILABLE", 2: "END"})


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({"name": MODEL, "base_path": "models"}, "to have an absolute path; got base_path()=models"),
        ({"name": "", "base_path": "/"}, "a model must have a name"),
        ({"name": "a", "base_path": "/", "model_platform": "caffe"}, "model_platform must be tensorflow"),
        ({"name": "a", "base_path": "gs://bucket/m"}, "to have an absolute path; got base_path()=gs://bucket/m"),
        ({"name": "a", "base_path": "/", "model_version_policy": {"specific": {}}}, "must name a version (a)"),
    ],
)
def test_a_wrong_configuration_changes_nothing(server: Server, config: dict[str, object], error: str) -> None:
    sent = model_management_pb2.ReloadConfigRequest(config={"model_config_list": {"config": [config]}})
    code, message = refusal(server.models.HandleReloadConfigRequest, sent)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert error in message
    assert answer(server) == (123, 3.0)


def test_a_label_needs_its_version(changing: Server, folder: Path) -> None:
    sent = model_management_pb2.ReloadConfigRequest()
    config = sent.config.model_config_list.config.add(name=MODEL, base_path=str(folder))
    config.version_labels["canary"] = 9
    assert refusal(changing.models.HandleReloadConfigRequest, sent) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        f"Request to assign label to version 9 of model {MODEL}, which is not currently available for inference",
    )
    assert answer(changing) == (1, 1.0)


def test_a_version_that_is_still_copied_waits(changing: Server, folder: Path, saved: Saved) -> None:
    """On a remote file system without renames, a file beside the folder marks it as incomplete."""
    (folder / ".part-2").touch()
    push(saved(2.0), folder / "2")
    push(saved(3.0), folder / "x")
    push(saved(3.0), folder / "7x")
    push(saved(3.0), folder.parent / "other" / "1")
    changing.wait_for_log("a version serves", model="other")  # so that the server has looked at all of them
    served = [line["model"] for line in list(changing.log) if line["message"] == "a version serves"]
    assert served == [MODEL, "other"]
    assert changing.states(MODEL) == {1: "AVAILABLE"}
    (folder / ".part-2").unlink()
    wait_for(lambda: answer(changing) == (2, 2.0), "version 2")


@pytest.mark.parametrize("gone", ["the folder", "its versions"])
def test_what_serves_stays_when_its_folder_has_no_versions(
    changing: Server, folder: Path, saved: Saved, gone: str
) -> None:
    """It also stays after the next poll, which finds the other model."""
    (folder if gone == "the folder" else folder / "1").rename(folder.parent.parent / "elsewhere")
    push(saved(2.0), folder.parent / "other" / "1")
    changing.wait_for_states("other", {1: "AVAILABLE"})
    assert changing.rest.get("/readyz").status_code == 200
    assert f'wdr_loaded{{model="{MODEL}",version="1"}} 1.0' in changing.rest.get("/metrics").text
    assert answer(changing) == (1, 1.0)


def test_a_request_at_work_is_finished_by_the_version_that_began_it(
    changing: Server, folder: Path, saved: Saved, hold: Hold
) -> None:
    second = saved(2.0)  # its making takes a while
    named = hold.request()
    named.model_spec.version.value = 1
    at_work = changing.predictions.Predict.future(named)
    changing.wait_for_requests("running", 1)
    push(second, folder / "2")
    wait_for(lambda: answer(changing) == (2, 2.0), "version 2")
    assert not at_work.done()
    assert changing.states(MODEL)[1] == "UNLOADING"
    hold.release()
    assert at_work.result().model_spec.version.value == 1
    changing.wait_for_states(MODEL, {1: "END", 2: "AVAILABLE"})


def test_an_answer_is_never_older_than_another_before_it(
    changing: Server, folder: Path, saved: Saved, hold: Hold
) -> None:
    """A request that begins before a swap and ends after a newer version has answered is computed again by that one."""
    second = saved(2.0)  # its making takes a while
    at_work = changing.predictions.Predict.future(hold.request())
    changing.wait_for_requests("running", 1)
    push(second, folder / "2")
    wait_for(lambda: answer(changing) == (2, 2.0), "version 2")
    assert not at_work.done()
    hold.release()
    assert at_work.result().model_spec.version.value == 2


@pytest.mark.slow
def test_memory_is_given_back(changing: Server, folder: Path, saved: Saved, tmp_path: Path) -> None:
    """Versions of 40 MB of variables each are loaded one after another."""
    large = tmp_path / "large"
    module = tf.Module()
    module.table = tf.Variable(tf.random.normal([10_000_000]))
    module.f = tf.function(lambda x: {"y": x + module.table[0]}, autograph=False)
    signature = module.f.get_concrete_function(tf.TensorSpec([None], tf.float32, "x"))
    tf.saved_model.save(module, str(large), signatures={"serving_default": signature})
    seen = []
    for number in range(2, 10):
        push(large, folder / str(number))
        changing.wait_for_state(MODEL, number, "AVAILABLE")
        changing.wait_for_state(MODEL, number - 1, "END")
        seen.append(changing.memory_mb())
    assert seen[-1] < seen[1] + 60  # less than two of the six further versions


def test_a_model_may_come_later(tmp_path: Path, saved: Saved) -> None:
    with running("--models", tmp_path, *POLL, ready=False) as server:
        assert server.rest.get("/readyz").status_code == 503
        push(saved(1.0), tmp_path / MODEL / "1")
        server.wait_until_ready()
        assert answer(server) == (1, 1.0)
