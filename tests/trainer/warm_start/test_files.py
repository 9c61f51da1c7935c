"""The contents of the warm-start files, and the errors for damaged ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.trained_model import NEW, OLD, Trained, build, start
from trainer.warm_start.files import WarmStartError, read_files, warm_start_dir
from transform.config.config import Config


@pytest.fixture(scope="module")
def new(config: Config) -> Trained:
    """A model that no warm start succeeds on."""
    return build(config, NEW)


def truncate(directory: Path) -> None:
    path = directory / "table.embedding.app.npz"
    path.write_bytes(path.read_bytes()[:100])


def poison(directory: Path) -> None:
    path = directory / "table.wide.app.npz"
    with np.load(path) as arrays:
        changed = dict(arrays)
    changed["values"][1] = np.nan
    np.savez(path, **changed)


def change_a_byte(directory: Path) -> None:
    path = directory / "table.embedding.app.npz"
    content = bytearray(path.read_bytes())
    content[200] ^= 1  # among the values, behind two headers
    path.write_bytes(content)


def lose_rows(directory: Path) -> None:
    path = directory / "vocabulary.app.npz"
    np.savez(path, token_bytes=np.frombuffer(b"ab", np.uint8), token_ends=np.array([1, 2]))


def lose_features(directory: Path) -> None:
    path = directory / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"spec": {}}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda directory: (directory / "index.json").unlink(), "there is no .*index.json"),
        (lambda directory: (directory / "index.json").write_text("{"), "the warm-start index is damaged"),
        (
            lambda directory: (directory / "index.json").write_text('{"format": 1}'),
            "must be of format 4. Received: 1",
        ),
        (lambda directory: (directory / "dense.npz").unlink(), "cannot be read: .*dense.npz"),
        (truncate, "cannot be read: .*table.embedding.app.npz"),
        (change_a_byte, "cannot be read: .*table.embedding.app.npz .BadZipFile"),
        (poison, "`values` in table.wide.app.npz holds values that are not finite"),
        (lose_features, "the warm-start index is damaged: KeyError 'features'"),
        (lose_rows, "the vocabulary `app` must have 4 tokens. Received: 2"),
    ],
)
def test_damaged_files_are_an_error(new: Trained, base: str, damage: Callable[[Path], Any], message: str) -> None:
    damage(Path(warm_start_dir(base)))
    with pytest.raises(WarmStartError, match=message):
        start(new, base)


def test_files_hold_tokens_of_any_bytes_and_no_pickle(base: str) -> None:
    directory = Path(warm_start_dir(base))
    assert read_files(str(directory)).transform_state.vocabularies == OLD
    for path in directory.glob("*.npz"):
        with np.load(path, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype != object for name in arrays), path
