"""The push: versions grow, whole or not at all, and only what is blessed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.artifacts import Catalog
from components.push import PushExecutor, checksums, push, read_manifest, versions
from tests.components.saved_models import export


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export("good", tmp_path_factory.mktemp("model"))


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    folder = tmp_path / "catalog"
    (folder / "apps").mkdir(parents=True)
    (folder / "apps" / "data.gz").write_bytes(b"rows")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "serving"


def push_one(model: Path, catalog: Path, root: Path, uri: str) -> int:
    return push(
        str(model / "Format-Serving"), str(catalog), str(root), '{"name": "x"}', {"model_uri": uri, "spans": [1]}
    )


def test_versions_grow_by_one(model: Path, catalog: Path, root: Path) -> None:
    assert versions(str(root)) == []
    assert [push_one(model, catalog, root, uri) for uri in ("m1", "m2", "m3")] == [1, 2, 3]
    assert versions(str(root)) == [1, 2, 3]
    assert sorted(path.name for path in root.iterdir()) == ["1", "2", "3"]


def test_versions_are_sorted_as_numbers_and_nothing_else_counts(root: Path) -> None:
    for name in ("9", "10", ".part-11", "old", "2"):
        (root / name).mkdir(parents=True)
    assert versions(str(root)) == [2, 9, 10]


def test_the_next_version_is_above_the_highest_though_one_is_gone(model: Path, catalog: Path, root: Path) -> None:
    for uri in ("m1", "m2", "m3"):
        push_one(model, catalog, root, uri)
    tf.io.gfile.rmtree(str(root / "2"))
    assert push_one(model, catalog, root, "m4") == 4
    assert versions(str(root)) == [1, 3, 4]


def test_a_model_that_is_pushed_again_stays_the_version_it_is(model: Path, catalog: Path, root: Path) -> None:
    assert [push_one(model, catalog, root, uri) for uri in ("m1", "m1", "m2", "m1")] == [1, 1, 2, 1]
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert push_one(model, catalog, root, "m2") == 2
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_what_a_killed_push_left_is_cleared(model: Path, catalog: Path, root: Path) -> None:
    push_one(model, catalog, root, "m1")
    for name in (".part-2", ".part-7"):
        (root / name / "variables").mkdir(parents=True)
        (root / name / "variables" / "stray").write_bytes(b"half")
    assert push_one(model, catalog, root, "m2") == 2
    assert sorted(path.name for path in root.iterdir()) == ["1", "2"]
    assert not (root / "2" / "variables" / "stray").exists()


def test_a_pushed_version_serves_and_carries_config_and_catalog(model: Path, catalog: Path, root: Path) -> None:
    push_one(model, catalog, root, "m1")
    extra = root / "1" / "assets.extra"
    assert (extra / "config.json").read_text() == '{"name": "x"}'
    assert (extra / "catalog" / "apps" / "data.gz").read_bytes() == b"rows"
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(0.0)
    signature = tf.saved_model.load(str(root / "1")).signatures["serving_default"]
    assert signature(tf.constant([example.SerializeToString()]))["scores"].numpy().tolist() == [0.5]


def test_a_catalog_without_tables_is_pushed(model: Path, tmp_path: Path, root: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert push_one(model, tmp_path / "empty", root, "m1") == 1
    assert list((root / "1").rglob("data.gz")) == []


def test_the_manifest_has_the_lineage_and_the_checksum_of_every_file(model: Path, catalog: Path, root: Path) -> None:
    push_one(model, catalog, root, "m1")
    manifest = read_manifest(str(root / "1"))
    files = {
        str(path.relative_to(root / "1")): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (root / "1").rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert {"saved_model.pb", "assets.extra/config.json", "assets.extra/catalog/apps/data.gz"} < set(files)
    assert manifest == {"version": 1, "model_uri": "m1", "spans": [1], "sha256": files}
    assert checksums(str(root / "1")) == files
    (root / "1" / "saved_model.pb").write_bytes(b"changed")
    assert checksums(str(root / "1")) != files


def test_a_version_without_a_manifest_does_not_stop_the_next_push(model: Path, catalog: Path, root: Path) -> None:
    (root / "5").mkdir(parents=True)  # put there by hand
    assert push_one(model, catalog, root, "m1") == 6


def execute(model_folder: Path, catalog_folder: Path, root: Path, blessed: dict[str, int], model_id: int = 7) -> Any:
    model, catalog = standard_artifacts.Model(), Catalog()
    model.uri, model.id, catalog.uri = str(model_folder), model_id, str(catalog_folder)
    blessings = {
        "model_blessing": standard_artifacts.ModelBlessing(),
        "infra_blessing": standard_artifacts.InfraBlessing(),
    }
    for name, artifact in blessings.items():
        artifact.set_int_custom_property("blessed", blessed[name])
    spans = [standard_artifacts.Examples() for _ in range(2)]
    for span, artifact in zip((4, 3), spans, strict=True):
        artifact.set_int_custom_property("span", span)
    pushed = standard_artifacts.PushedModel()
    PushExecutor().Do(
        {"model": [model], "examples": spans, "catalog": [catalog], **{k: [v] for k, v in blessings.items()}},
        {"pushed_model": [pushed]},
        {"config": "{}", "serving_root": str(root), "code_fingerprint": "f"},
    )
    return pushed


def test_a_model_that_both_bless_is_pushed(model: Path, catalog: Path, root: Path) -> None:
    pushed = execute(model, catalog, root, {"model_blessing": 1, "infra_blessing": 1})
    assert (pushed.get_int_custom_property("pushed"), pushed.get_int_custom_property("model_id")) == (1, 7)
    assert pushed.get_int_custom_property("version") == 1
    assert pushed.get_string_custom_property("pushed_destination") == str(root / "1")
    manifest = json.loads((root / "1" / "assets.extra" / "manifest.json").read_text())
    del manifest["sha256"]
    assert manifest == {
        "version": 1,
        "model_uri": str(model),
        "model_id": 7,
        "spans": [3, 4],
        "code_fingerprint": "f",
    }


@pytest.mark.parametrize(("by_model", "by_infra"), [(0, 1), (1, 0), (0, 0)])
def test_a_model_that_one_does_not_bless_is_not_pushed(
    model: Path, catalog: Path, root: Path, by_model: int, by_infra: int
) -> None:
    pushed = execute(model, catalog, root, {"model_blessing": by_model, "infra_blessing": by_infra})
    assert (pushed.get_int_custom_property("pushed"), pushed.get_int_custom_property("model_id")) == (0, 7)
    assert not root.exists()
