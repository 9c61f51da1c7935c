"""Tests that bad entries in the models' folder affect no other model or version."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from tensorflow_serving.apis import get_model_status_pb2

from serving.model_server.engine.version_files import VersionFiles, inspect, verify, versions
from tests.serving.model_server.answers import Saved, answer
from tests.serving.model_server.hanging import hanging
from tests.serving.model_server.running import POLL, Server, running, wait_for
from tests.serving.model_server.tiny_models import MODEL, push, save, write_manifest, x_request
from transform.files.version_layout import DamagedVersionError


def _loop(models: Path) -> None:
    (models / "loop").symlink_to(models / "loop")


def _fifo(models: Path) -> None:
    os.mkfifo(models / "fifo")


def _empty(models: Path) -> None:
    (models / "lost+found").mkdir()


def _dangling(models: Path) -> None:
    (models / "dangling").symlink_to(models / "nowhere")


def _empty_version(models: Path) -> None:
    (models / "new_model" / "1").mkdir(parents=True)


def _version_loop(models: Path) -> None:
    (models / "looping").mkdir()
    (models / "looping" / "2").symlink_to(models / "looping" / "2")


def _version_with_fifo(models: Path) -> None:
    version = models / "piped" / "1"
    (version / "variables").mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"")
    os.mkfifo(version / "variables" / "variables.index")


_BAD_ENTRIES = (_loop, _fifo, _empty, _dangling, _empty_version, _version_loop, _version_with_fifo)


def test_bad_entries_at_the_start_stop_no_other_model(folder: Path) -> None:
    for add in _BAD_ENTRIES:
        add(folder.parent)
    with running("--models", folder.parent, *POLL) as server:  # once it is ready
        assert answer(server) == (1, 1.0)


def test_names_that_are_not_utf_8_are_escaped(folder: Path, saved: Saved) -> None:
    """The names of a model's folder, and of a file that its next version should not have."""
    latin_1 = folder.parent / os.fsdecode(b"caf\xe9")
    push(saved(5.0), latin_1 / "1")
    push(saved(6.0), latin_1 / "2")
    (latin_1 / "2" / os.fsdecode(b"caf\xe9.txt")).touch()
    name = r"caf\xe9"
    with running("--models", folder.parent, *POLL) as server:
        assert answer(server) == (1, 1.0)
        wait_for(lambda: server.states("caf%5Cxe9") == {1: "AVAILABLE", 2: "END"}, "version 1")
        response = server.predictions.Predict(x_request([0.0], name))
        assert (response.model_spec.version.value, list(response.outputs["y"].float_val)) == (1, [5.0])
        assert r'wdr_loaded{model="caf\\xe9",version="1"} 1.0' in server.rest.get("/metrics").text
        asked = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": name})
        (refused, _) = server.models.GetModelStatus(asked).model_version_status
        assert r"caf\udce9.txt was added" in refused.status.error_message
        assert server.wait_for_log("a version was refused", model=name)["version"] == 2


@pytest.mark.parametrize("linked", [False, True])
def test_an_entry_that_hangs_at_the_start_delays_no_other_model(folder: Path, tmp_path: Path, linked: bool) -> None:
    """The entry is a mount itself, or a symbolic link to one."""
    place = (tmp_path if linked else folder.parent) / "a_share"
    place.mkdir()
    if linked:
        (folder.parent / "a_share").symlink_to(place)
    with hanging(place):
        started = time.monotonic()
        with running(
            "--models", folder.parent, "--model", f"named={folder.parent}/a_share/m", *POLL, ready=False
        ) as server:
            wait_for(lambda: server.states(MODEL) == {1: "AVAILABLE"}, "version 1")
            assert time.monotonic() - started < 30
            assert answer(server) == (1, 1.0)
            server.wait_for_log("a model's folder cannot be read", model="a_share")
            server.wait_for_log("a model's folder cannot be read", model="named")
            server.wait_until_ready()
            assert server.stop() == 0


def test_bad_entries_that_appear_stop_no_new_version(changing: Server, folder: Path, saved: Saved) -> None:
    for add in _BAD_ENTRIES:
        add(folder.parent)
    push(saved(2.0), folder / "2")
    wait_for(lambda: answer(changing) == (2, 2.0), "version 2")
    assert changing.rest.get("/readyz").status_code == 200
    changing.wait_for_log("a model's folder cannot be read", model="loop")
    refused = changing.wait_for_log("a version was refused", model="piped", version=1)
    assert "a version must have regular files only. Received: variables/variables.index" in refused["reason"]


def test_a_model_with_a_label_may_be_away_for_a_while(folder: Path, tmp_path: Path, saved: Saved) -> None:
    """While it is away, the label's option names a model that does not exist, which is an error only at the start."""
    with running("--models", folder.parent, "--label", f"{MODEL}:stable=1", *POLL) as server:
        folder.rename(tmp_path / "away")
        server.wait_for_log("the models' folders cannot be read")
        (tmp_path / "away").rename(folder)
        push(saved(2.0), folder / "2")
        wait_for(lambda: answer(server) == (2, 2.0), "version 2")


def test_of_a_version_that_is_gone_nothing_is_known(changing: Server, folder: Path, saved: Saved) -> None:
    """If a version of the same number comes later, the message is logged again."""
    message = "version 2 waits until it is complete"

    def times_told() -> int:
        return [line["message"] for line in changing.log].count(message)

    def wait_for_a_poll(other: str) -> None:
        """Waits until the server has found a further model, and meanwhile has looked at the first one again."""
        push(saved(2.0), folder.parent / other / "1")
        changing.wait_for_log("a version serves", model=other)

    (folder / "2").mkdir()
    changing.wait_for_log(message)
    wait_for_a_poll("other")
    assert times_told() == 1
    (folder / "2").rmdir()
    wait_for_a_poll("another")
    (folder / "2").mkdir()
    wait_for(lambda: times_told() == 2, "the sentence once more")


def test_readiness_by_model_stands_apart(changing: Server, folder: Path, saved: Saved) -> None:
    (folder.parent / "coming").mkdir()
    assert changing.rest.get(f"/readyz/{MODEL}").status_code == 200
    assert changing.rest.get("/readyz/coming").status_code == 503
    push(saved(2.0), folder.parent / "coming" / "1")
    wait_for(lambda: changing.rest.get("/readyz/coming").status_code == 200, "the other model")


def test_a_version_that_does_not_load_in_time_is_refused_and_the_server_is_up(folder: Path, saved: Saved) -> None:
    with running("--models", folder.parent, "--load-seconds", "0.001", *POLL, ready=False) as server:
        refused = server.wait_for_log("a version was refused", model=MODEL, version=1)
        assert refused["reason"].startswith("a version must load within 0.001 seconds")
        assert server.rest.get("/readyz").status_code == 503
        assert server.stop() == 0


@pytest.mark.slow
def test_a_version_without_a_manifest_is_served_once_its_files_rest(folder: Path, tmp_path: Path) -> None:
    source = save(tmp_path / "source" / "2", 2.0, manifest=False)
    (folder / "2" / "variables").mkdir(parents=True)
    with running("--models", folder.parent, "--poll-seconds", "0.05", "--settle-seconds", "3") as server:
        shutil.copy(source / "saved_model.pb", folder / "2")
        for path in sorted((source / "variables").iterdir()):
            time.sleep(0.3)  # a slow copy
            assert server.states(MODEL) == {1: "AVAILABLE"}
            shutil.copy2(path, folder / "2" / "variables")  # keeps the source's modification time
        wait_for(lambda: answer(server) == (2, 2.0), "version 2")


@pytest.mark.parametrize("manifest", [True, False])
def test_a_version_that_is_replaced_under_its_number_is_loaded_again(
    changing: Server, folder: Path, tmp_path: Path, manifest: bool
) -> None:
    replacement = save(tmp_path / "new", 5.0, manifest=manifest)
    (folder / "1").rename(tmp_path / "old")
    replacement.rename(folder / "1")
    wait_for(lambda: answer(changing) == (1, 5.0), "the new files of version 1")


def test_a_replacement_that_is_damaged_leaves_what_serves(changing: Server, folder: Path) -> None:
    (folder / "1" / "saved_model.pb").write_bytes(b"damaged")
    refused = changing.wait_for_log("a version was refused", model=MODEL, version=1)
    assert "saved_model.pb was changed" in refused["reason"]
    assert answer(changing) == (1, 1.0)
    assert changing.states(MODEL) == {1: "AVAILABLE"}
    (folder / "1" / "assets.extra" / "manifest.json").unlink()
    write_manifest(folder / "1")  # now matches the damaged file
    wait_for(lambda: any("must load" in str(line.get("reason")) for line in changing.log), "the next refusal")
    assert answer(changing) == (1, 1.0)


def test_versions_skips_what_cannot_be_a_version(tmp_path: Path) -> None:
    for name in ("1", "12", "x", "-3", "00000123", "007", "7", "9223372036854775808"):
        (tmp_path / name).mkdir()
    (tmp_path / "2").symlink_to(tmp_path / "2")
    (tmp_path / "3").write_text("a file")
    os.mkfifo(tmp_path / "4")
    assert versions(str(tmp_path)) == {1: "1", 12: "12", 123: "00000123", 7: "7"}
    assert versions(str(tmp_path / "none")) == {}


def test_a_version_s_folder_may_have_leading_zeros(changing: Server, folder: Path, saved: Saved) -> None:
    push(saved(2.0), folder / "00000002")
    wait_for(lambda: answer(changing) == (2, 2.0), "version 2 serves")


def test_what_inspect_sees(tmp_path: Path) -> None:
    assert inspect(str(tmp_path), settle_seconds=0.0).unfinished == "it has no saved_model.pb"
    (tmp_path / "saved_model.pb").write_bytes(b"1")
    first = inspect(str(tmp_path), settle_seconds=0.0)
    assert first.unfinished == ""
    assert inspect(str(tmp_path), settle_seconds=3600.0) == VersionFiles(
        first.fingerprint, "it has no manifest, and its files changed less than 3600 seconds ago"
    )
    (tmp_path / "saved_model.pb").write_bytes(b"12")
    assert inspect(str(tmp_path), settle_seconds=0.0).fingerprint != first.fingerprint
    (tmp_path / "assets.extra").mkdir()
    write_manifest(tmp_path)
    assert inspect(str(tmp_path), settle_seconds=3600.0).unfinished == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"sha256": ["saved_model.pb"]}', "a manifest's `sha256` must be a JSON object. Received: a list (PATH)"),
        ("[]", "a manifest must be a JSON object. Received: 'list' object has no attribute 'get' (PATH)"),
    ],
)
def test_a_manifest_of_another_form_is_damaged(tmp_path: Path, text: str, sentence: str) -> None:
    manifest = tmp_path / "assets.extra" / "manifest.json"
    manifest.parent.mkdir()
    manifest.write_text(text)
    with pytest.raises(DamagedVersionError) as error:
        verify(str(tmp_path))
    assert str(error.value) == sentence.replace("PATH", str(manifest))


@pytest.mark.parametrize("text", ["{}", '{"name": "half_plus_two"}', '{"sha256": null}'])
def test_a_manifest_of_other_software_has_nothing_to_compare(tmp_path: Path, text: str) -> None:
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "manifest.json").write_text(text)
    verify(str(tmp_path))
