"""The push: the next version has the model, its config, catalog and warm-up requests, and the right baseline."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from components.model_store.manifest import Manifest
from components.model_store.retention import pin, remove_old
from components.model_store.rollback import roll_back
from components.model_store.versions import verify, versions
from components.push.push_version import StaleBaselineError, push
from tests.components.pushes import another_export, candidate, push_one, raw_example


def test_a_pushed_version_serves_and_carries_config_and_catalog(model: Path, catalog: Path, local_root: Path) -> None:
    push_one(model, catalog, local_root, "m1")
    extra = local_root / "1" / "assets.extra"
    assert (extra / "config.json").read_text() == '{"name": "x"}'
    assert (extra / "catalog" / "apps" / "data.gz").read_bytes() == b"rows"
    signature = tf.saved_model.load(str(local_root / "1")).signatures["serving_default"]
    assert signature(tf.constant([raw_example(0.0)]))["scores"].numpy().tolist() == [0.5]
    verify(str(local_root / "1"))


def test_the_warm_up_records_are_requests_that_the_model_answers(model: Path, catalog: Path, local_root: Path) -> None:
    push_one(model, catalog, local_root, "m1")
    path = local_root / "1" / "assets.extra" / "tf_serving_warmup_requests"
    logs = [prediction_log_pb2.PredictionLog.FromString(r) for r in tf.data.TFRecordDataset(path).as_numpy_iterator()]
    served = tf.saved_model.load(str(local_root / "1"))
    sizes = []
    for log in logs:
        request = log.predict_log.request
        assert request.model_spec.name == "store"
        signature = served.signatures[request.model_spec.signature_name]
        inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
        assert set(inputs) == set(signature.structured_input_signature[1])
        scores = signature(**inputs)["scores"].numpy()
        assert scores[0] == 0.5
        sizes.append(len(scores))
    assert sizes == [120, 100, 50]  # the paper's 200, 100 and 50, limited to the 120 requests


def test_a_model_is_pushed_to_a_remote_filesystem_by_the_same_code(model: Path, catalog: Path, tmp_path: Path) -> None:
    root = f"ram://{tmp_path}/store"
    for uri in ("m1", "m2"):
        push(candidate(another_export(model, tmp_path / uri, uri), catalog, Manifest(model_uri=uri)), root, 1)
    assert versions(root) == [2]
    sums = verify(f"{root}/2")
    assert {"saved_model.pb", "assets.extra/tf_serving_warmup_requests", "assets.extra/config.json"} <= set(sums)
    signature = tf.saved_model.load(f"{root}/2").signatures["serving_default"]
    assert signature(tf.constant([raw_example(0.0)]))["scores"].numpy().tolist() == [0.5]


def test_a_model_that_is_pushed_again_stays_the_version_it_is(model: Path, catalog: Path, local_root: Path) -> None:
    assert [push_one(model, catalog, local_root, uri) for uri in ("m1", "m1", "m2", "m1")] == [1, 1, 2, 1]
    before = {path: path.stat().st_mtime_ns for path in local_root.rglob("*")}
    assert push_one(model, catalog, local_root, "m2") == 2
    assert {path: path.stat().st_mtime_ns for path in local_root.rglob("*")} == before


def test_a_model_that_was_rolled_back_does_not_come_back_by_itself(
    model: Path, catalog: Path, local_root: Path
) -> None:
    push_one(model, catalog, local_root, "m1")
    push_one(model, catalog, local_root, "m2")
    roll_back(str(local_root), "m2 is bad")
    assert push_one(model, catalog, local_root, "m2") == 2
    assert push_one(model, catalog, local_root, "m1") == 3
    assert versions(str(local_root)) == [1, 2, 3]


def test_a_model_whose_version_was_removed_is_not_pushed_again(model: Path, catalog: Path, local_root: Path) -> None:
    for uri in ("m1", "m2"):
        push_one(model, catalog, local_root, uri)
    remove_old(str(local_root), keep=1)
    assert push_one(model, catalog, local_root, "m1") == 1
    assert versions(str(local_root)) == [2]


def test_a_push_removes_the_versions_that_are_too_many(model: Path, catalog: Path, local_root: Path) -> None:
    for uri in ("m1", "m2", "m3"):
        push_one(model, catalog, local_root, uri, keep=2)
    assert versions(str(local_root)) == [2, 3]
    push_one(model, catalog, local_root, "m3", keep=1)  # as after a push that was killed before it removed any
    assert versions(str(local_root)) == [3]


def test_a_pinned_version_survives_later_pushes(model: Path, catalog: Path, local_root: Path) -> None:
    push_one(model, catalog, local_root, "m1")
    pin(str(local_root), 1, "an audit")
    for uri in ("m2", "m3", "m4"):
        push_one(model, catalog, local_root, uri, keep=1)
    assert versions(str(local_root)) == [1, 4]
    verify(str(local_root / "1"))


def test_a_catalog_without_tables_is_pushed(model: Path, tmp_path: Path, local_root: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert push_one(model, tmp_path / "empty", local_root, "m1") == 1
    assert list((local_root / "1").rglob("data.gz")) == []


def test_a_version_without_a_manifest_does_not_stop_the_next_push(model: Path, catalog: Path, local_root: Path) -> None:
    (local_root / "5").mkdir(parents=True)  # added manually
    assert push_one(model, catalog, local_root, "m1") == 6


def test_a_candidate_that_was_held_against_another_model_than_serves_is_not_pushed(
    model: Path, catalog: Path, local_root: Path
) -> None:
    push_one(model, catalog, local_root, "m1")
    push_one(model, catalog, local_root, "m2", baseline={"model_uri": "m1", "version": 1})
    roll_back(str(local_root), "m2 is bad")  # while m3 is compared with m2
    with pytest.raises(StaleBaselineError, match="another one serves by now; run again"):
        push_one(model, catalog, local_root, "m3", baseline={"model_uri": "m2", "version": 2})
    assert versions(str(local_root)) == [1, 2, 3]
    assert push_one(model, catalog, local_root, "m3", baseline={"model_uri": "m1", "version": 3}) == 4


def place_again(model: Path, root: Path, uri: str) -> None:
    """Writes another export at the URI of a pushed one, as with a new ML Metadata store, whose ids restart at 1."""
    place = root.parent.parent / "exports" / uri
    shutil.rmtree(place)
    another_export(model, place, f"another at {uri}")


def test_a_new_model_at_the_place_of_a_pushed_one_is_pushed(model: Path, catalog: Path, local_root: Path) -> None:
    assert push_one(model, catalog, local_root, "m1") == 1
    place_again(model, local_root, "m1")
    assert push_one(model, catalog, local_root, "m1") == 2
    assert versions(str(local_root)) == [1, 2]
    of_versions = [(local_root / name / "fingerprint.pb").read_bytes() for name in ("1", "2")]
    assert of_versions[0] != of_versions[1]
    assert push_one(model, catalog, local_root, "m1") == 2


def test_a_new_model_at_the_place_of_one_whose_version_was_removed_is_pushed(
    model: Path, catalog: Path, local_root: Path
) -> None:
    for uri in ("m1", "m2"):
        push_one(model, catalog, local_root, uri)
    remove_old(str(local_root), keep=1)
    place_again(model, local_root, "m1")
    assert push_one(model, catalog, local_root, "m1") == 3


def test_a_model_that_was_pushed_and_then_moved_is_the_version_that_it_was(
    model: Path, catalog: Path, local_root: Path
) -> None:
    push_one(model, catalog, local_root, "m1")
    shutil.copytree(local_root.parent.parent / "exports" / "m1", local_root.parent.parent / "exports" / "moved")
    assert push_one(model, catalog, local_root, "moved") == 1
    assert versions(str(local_root)) == [1]


def test_a_candidate_held_against_another_model_at_the_serving_one_s_place_is_not_pushed(
    model: Path, catalog: Path, local_root: Path
) -> None:
    push_one(model, catalog, local_root, "m1")
    place_again(model, local_root, "m1")
    push_one(model, catalog, local_root, "m1")
    with pytest.raises(StaleBaselineError, match="Received: m1, now m1, version 2"):
        push_one(model, catalog, local_root, "m3", baseline={"model_uri": "m1", "version": 1})
    assert push_one(model, catalog, local_root, "m3", baseline={"model_uri": "m1", "version": 2}) == 3
