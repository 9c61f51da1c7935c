"""Reading transformed examples: several patterns, order, last batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from trainer import data

FEATURE_SPEC = {"id_xf": tf.io.FixedLenFeature([], tf.int64), "label": tf.io.FixedLenFeature([], tf.int64)}


def write(path: Path, ids: range) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
        for i in ids:
            features = {
                name: tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
                for name, value in (("id_xf", i), ("label", i % 2))
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def window(tmp_path: Path) -> list[str]:
    """Two spans of two files each, with 50 examples in all."""
    write(tmp_path / "span-1" / "a.gz", range(10))
    write(tmp_path / "span-1" / "b.gz", range(10, 25))
    write(tmp_path / "span-2" / "a.gz", range(25, 25))
    write(tmp_path / "span-2" / "b.gz", range(25, 50))
    return [str(tmp_path / "span-1" / "*"), str(tmp_path / "span-2" / "*")]


def ids_of(dataset: tf.data.Dataset) -> list[int]:
    return [int(i) for features, _ in dataset for i in features["id_xf"].numpy()]


def test_all_files_of_all_patterns_are_read_once(tmp_path: Path) -> None:
    patterns = window(tmp_path)
    assert data.count_examples(patterns) == 50
    assert sorted(ids_of(data.eval_dataset([*patterns, patterns[0]], FEATURE_SPEC))) == list(range(50))
    assert data.count_examples([str(tmp_path / "nothing-*")]) == 0


def test_batches_keep_the_last_examples_and_their_labels(tmp_path: Path) -> None:
    batches = list(data.train_dataset(window(tmp_path), FEATURE_SPEC, 16, 100, seed=1))
    assert [len(labels) for _, labels in batches] == [16, 16, 16, 2]
    for features, labels in batches:
        assert labels.dtype == tf.float32
        assert set(features) == {"id_xf"}
        np.testing.assert_array_equal(labels, features["id_xf"] % 2)


def test_the_order_is_the_seeds_and_another_in_each_epoch(tmp_path: Path) -> None:
    patterns = window(tmp_path)
    first, again, other = (data.train_dataset(patterns, FEATURE_SPEC, 16, 30, seed) for seed in (1, 1, 2))
    epochs = [ids_of(first), ids_of(first)]
    assert epochs == [ids_of(again), ids_of(again)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(50))
    assert epochs[0] != epochs[1]
    assert epochs[0] != ids_of(other)
