"""The items that a model is exported with, read from a snapshot's tables, and their encoding in batches."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from tests.trainer.rank_export.items_store import Values, store_config
from tests.trainer.small_deployment import to_example
from trainer.rank_export import catalog
from trainer.rank_export.catalog import Catalog, digest_of, read_items

NAMES = ["country", "app", "developer", "price", "rating", "size"]
BY_DEVELOPER = {"developers": {"item_key": "developer"}}
TABLES: dict[str, dict[str, Values]] = {
    "catalog": {
        "b": {"developer": ["ada"], "price": [2.0]},
        "a": {"developer": ["gone"], "price": [1.0]},
        "c": {"price": [3.0]},
    },
    "ratings": {"a": {"rating": [4.0]}, "d": {"rating": [5.0]}},
    "developers": {"ada": {"size": ["large"]}, "bob": {"size": ["small"]}},
}


@pytest.fixture
def snapshot(tmp_path: Path) -> str:
    for name, rows in TABLES.items():
        (tmp_path / name).mkdir()
        with tf.io.TFRecordWriter(str(tmp_path / name / "data.gz"), "GZIP") as writer:
            for key, row in rows.items():
                writer.write(to_example({**row, "table_key": [key]}))
    return str(tmp_path)


def values_of(serialized: bytes) -> Values:
    found: Values = {}
    for name, feature in tf.train.Example.FromString(serialized).features.feature.items():
        values = list(getattr(feature, feature.WhichOneof("kind")).value)
        found[name] = [v.decode() if isinstance(v, bytes) else v for v in values]
    return found


def test_an_item_has_what_its_tables_and_its_developer_s_have_of_it(snapshot: str) -> None:
    items = read_items(store_config(NAMES, tables=BY_DEVELOPER), snapshot)
    assert {key: values_of(item) for key, item in items.items()} == {
        b"a": {"developer": ["gone"], "price": [1.0], "rating": [4.0]},
        b"b": {"developer": ["ada"], "price": [2.0], "size": ["large"]},
        b"c": {"price": [3.0]},
        b"d": {"rating": [5.0]},
    }
    assert [*items] == [b"a", b"b", b"c", b"d"]


def test_the_digest_is_that_of_the_files_as_sha256sum_lists_them(snapshot: str) -> None:
    command = "find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"
    listed = subprocess.run(command, shell=True, cwd=snapshot, capture_output=True, text=True, check=True)
    assert digest_of(snapshot) == listed.stdout.split()[0]
    assert digest_of(None) == ""
    before = digest_of(snapshot)
    (Path(snapshot) / "ratings" / "data.gz").rename(Path(snapshot) / "ratings" / "data-1.gz")
    assert digest_of(snapshot) != before


def test_a_model_without_rank_has_no_items(snapshot: str) -> None:
    assert read_items(store_config(NAMES), snapshot) == {}
    assert read_items(store_config(NAMES, tables=BY_DEVELOPER), None) == {}


@pytest.mark.parametrize("batch_size", [1, 2, 4096])
def test_rows_are_the_same_whatever_is_encoded_at_once(monkeypatch: pytest.MonkeyPatch, batch_size: int) -> None:
    monkeypatch.setattr(catalog, "_BATCH_SIZE", batch_size)

    def encode(ids: tf.Tensor, examples: tf.Tensor) -> dict[str, Any]:
        lengths = tf.cast(tf.strings.length(examples), tf.float32)
        letters = tf.strings.bytes_split(examples)
        return {"sum": tf.stack([lengths, -lengths], axis=1), "id": ids, "letters": letters}

    made = Catalog({b"a": b"xy", b"b": b"", b"c": b"z"}, encode)
    rows = made.rows_of(tf.constant(["c", "a", "nobody", "b", "c"]))
    assert rows.numpy().tolist() == [2, 0, 3, 1, 2]
    gathered = made.gather(rows)
    assert gathered["sum"].numpy().tolist() == [[1, -1], [2, -2], [0, 0], [0, 0], [1, -1]]
    assert gathered["id"].numpy().tolist() == [b"c", b"a", b"", b"b", b"c"]
    assert gathered["letters"].to_list() == [[b"z"], [b"x", b"y"], [], [], [b"z"]]
    assert made.look_up_examples(rows).numpy().tolist() == [b"z", b"xy", b"", b"", b"z"]
    examples = [(1,), (4,), (4,)]  # one block of texts, and the start and the size of each
    assert [tuple(v.shape) for v in made.resources if isinstance(v, tf.Variable)] == [
        (4, 2), (4,), (3,), (5,), *examples,
    ]  # fmt: skip
