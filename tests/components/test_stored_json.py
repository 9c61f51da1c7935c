"""The manifests and the file of pins: the forms that are read, and a sentence for each kind of damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.model_store.manifest import (
    Baseline,
    Forced,
    Manifest,
    Metrics,
    read_manifest,
    read_manifest_file,
)
from components.model_store.retention import pin, pins
from components.model_store.versions import history, verify
from tests.components.serving_folder import add
from transform.errors import InputError
from transform.files.version_layout import DamagedVersionError

MANIFEST = Manifest(
    model_uri="/m/1",
    spans=(7,),
    baseline=Baseline("/m/0", 3),
    metrics=Metrics({"auc": 0.75}),
    forced=Forced("ann", "a test", ("auc is low",)),
    restores=1,
    rollback_of=2,
    rollback_by="ann",
    rollback_reason="a test",
)

OTHER_VERSION = "must have `schema_version` 1."


def written(folder: Path, text: str) -> str:
    (folder / "assets.extra").mkdir(exist_ok=True)
    (folder / "assets.extra" / "manifest.json").write_text(text)
    return str(folder)


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    text = MANIFEST.to_json()
    assert json.loads(text)["schema_version"] == 1
    assert "anchor" not in json.loads(text)
    assert read_manifest(written(tmp_path, text)) == MANIFEST


@pytest.mark.parametrize("text", ["{}", '{"name": "half_plus_two", "version": "1.0", "files": []}'])
def test_a_manifest_of_other_software_is_none_of_a_push(tmp_path: Path, text: str) -> None:
    assert read_manifest(written(tmp_path, text)) == Manifest()
    with pytest.raises(DamagedVersionError, match="must have a manifest with checksums"):
        verify(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"spans": ["4"]}, "must follow its schema: `spans.0`: input should be a valid integer. Received: '4' (PATH)"),
        ({"forced": {"by": "ann", "reason": "x"}}, "must have the key `forced.refusals`. Received: none (PATH)"),
        (
            {"schema_version": 2, "spans": "all"},
            f"{OTHER_VERSION} Received: 2 (PATH)",
        ),
        (
            {"baseline": {"model_uri": "/m/1", "span": 3}},
            "must have no key that its schema lacks. Received: `baseline.span` (PATH)",
        ),
    ],
)
def test_a_damaged_manifest_is_described_in_one_sentence(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    folder = written(tmp_path, json.dumps({**json.loads(MANIFEST.to_json()), **change}))
    with pytest.raises(DamagedVersionError) as error:
        read_manifest(folder)
    assert str(error.value) == f"a manifest {sentence.replace('PATH', f'{folder}/assets.extra/manifest.json')}"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"sha', "a manifest must be JSON. Received: EOF while parsing a string at line 1 column 5 (PATH)"),
        ("[1]", "a manifest must be a JSON object. Received: [1] (PATH)"),
        ("", "a manifest must be JSON. Received: EOF while parsing a value at line 1 column 0 (PATH)"),
    ],
)
def test_a_manifest_that_is_no_json_object_is_damaged(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "2.json"
    path.write_text(text)
    with pytest.raises(DamagedVersionError) as error:
        read_manifest_file(str(path))
    assert str(error.value) == sentence.replace("PATH", str(path))


def test_pins_are_read_as_they_were_written(tmp_path: Path) -> None:
    root = str(tmp_path)
    for _ in range(3):
        add(root)
    pin(root, 2, "shown to the press")
    assert pins(root) == {2: "shown to the press"}
    pin(root, 1, "")
    assert json.loads((tmp_path / ".pins.json").read_text()) == {
        "reasons": {"1": "", "2": "shown to the press"},
        "schema_version": 1,
    }
    assert pins(root) == {1: "", 2: "shown to the press"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            '{"reasons": {"1": 2}, "schema_version": 1}',
            "must follow its schema: `reasons.1`: input should be a valid string. Received: 2 (PATH)",
        ),
        ("[]", "must be a JSON object. Received: [] (PATH)"),
        ('{"1"', "must be JSON. Received: EOF while parsing an object at line 1 column 4 (PATH)"),
        (
            '{"schema_version": 2, "pins": {}}',
            f"{OTHER_VERSION} Received: 2 (PATH)",
        ),
        (
            '{"schema_version": 1, "pins": {}}',
            "must have no key that its schema lacks. Received: `pins` (PATH)",
        ),
    ],
)
def test_a_damaged_file_of_pins_is_described_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / ".pins.json").write_text(text)
    with pytest.raises(InputError) as error:
        pins(str(tmp_path))
    assert str(error.value) == f"the file of pins {sentence.replace('PATH', f'{tmp_path}/.pins.json')}"


def test_the_next_version_is_counted_without_reading_the_manifests(tmp_path: Path) -> None:
    root = str(tmp_path)
    add(root)
    written(tmp_path / "1", "[]")
    with pytest.raises(DamagedVersionError):
        history(root)
    assert add(root) == 2
