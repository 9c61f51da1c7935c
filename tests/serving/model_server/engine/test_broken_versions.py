"""Tests that a version is verified and warmed up before it serves, and that a broken one is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorflow_serving.apis import get_model_status_pb2

from tests.serving.model_server.answers import Saved, answer
from tests.serving.model_server.requests import request
from tests.serving.model_server.running import Server, running, wait_for
from tests.serving.model_server.tiny_models import MODEL, push, write_manifest, write_warmup


def _write_manifest_anew(version: Path) -> None:
    (version / "assets.extra" / "manifest.json").unlink()
    write_manifest(version)


def _truncated_graph(version: Path) -> None:
    graph = version / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:-100])
    _write_manifest_anew(version)


def _no_variables(version: Path) -> None:
    shutil.rmtree(version / "variables")
    _write_manifest_anew(version)


def _changed_variables(version: Path) -> None:
    (data,) = (version / "variables").glob("variables.data*")
    data.write_bytes(bytes(len(data.read_bytes())))


def _missing_file(version: Path) -> None:
    (version / "fingerprint.pb").unlink()


def _extra_file(version: Path) -> None:
    (version / "assets" / "more.txt").write_text("x", encoding="utf-8")


def _no_manifest(version: Path) -> None:
    (version / "assets.extra" / "manifest.json").write_text("{", encoding="utf-8")


def _bad_warmup(version: Path) -> None:
    write_warmup(version / "assets.extra" / "tf_serving_warmup_requests", [request("no_such_signature", x=[1.0])])
    _write_manifest_anew(version)


def _truncated_warmup(version: Path) -> None:
    warmup = version / "assets.extra" / "tf_serving_warmup_requests"
    warmup.write_bytes(warmup.read_bytes()[:-3])
    _write_manifest_anew(version)


DAMAGES: dict[Callable[[Path], None], str] = {
    _truncated_graph: "a version must load. Received: Read less bytes than requested",
    _no_variables: "a version must answer its warm-up requests. Received: Could not find variable",
    _changed_variables: "variables.data-00000-of-00001 was changed",
    _missing_file: "fingerprint.pb is missing",
    _extra_file: "assets/more.txt was added",
    _no_manifest: "a manifest must be a JSON object",
    _bad_warmup: 'Serving signature key "no_such_signature" not found.',
    _truncated_warmup: "a TFRecord file must end with a whole record",
}


@pytest.mark.slow
def test_broken_versions_are_refused_and_the_old_one_goes_on(
    changing: Server, folder: Path, saved: Saved, tmp_path: Path
) -> None:
    """One server meets them all, one after the other: to start one takes a second."""
    serving = (1, 1.0)
    for number, (damage, reason) in enumerate(DAMAGES.items(), 2):
        broken = push(saved(2.0), tmp_path / f"broken_{number}")
        damage(broken)
        push(broken, folder / str(number))
        line = changing.wait_for_log("a version was refused", model=MODEL, version=number)
        assert reason in line["reason"]
        found = changing.models.GetModelStatus(
            get_model_status_pb2.GetModelStatusRequest(model_spec={"name": MODEL})
        ).model_version_status
        (refused,) = (status for status in found if status.version == number)
        state = refused.state, reason in refused.status.error_message
        assert state in [(refused.END, True), (refused.LOADING, False)]
        assert answer(changing) == serving
        shutil.rmtree(folder / str(number))
        push(saved(3.0), folder / str(number))
        serving = (number, 3.0)
        wait_for(lambda mended=serving: answer(changing) == mended, f"the mended version {number}")  # type: ignore[misc]


def test_a_version_below_a_broken_one_is_loaded(folder: Path, saved: Saved) -> None:
    _missing_file(push(saved(2.0), folder / "2"))
    with running("--models", folder.parent) as server:
        assert answer(server) == (1, 1.0)
