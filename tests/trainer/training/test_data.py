"""Reading transformed examples: several patterns, order, last batch, weights, and drawn negatives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trainer.training import data
from trainer.training.data import LabelCounts
from transform.config import settings
from transform.errors import InputError

FEATURE_SPEC = {"id_xf": tf.io.FixedLenFeature([], tf.int64), "label": tf.io.FixedLenFeature([], tf.int64)}


def write(path: Path, ids: range) -> None:
    """Writes examples whose label is 1 for odd ids and whose weight is id / 10; their span is their folder's number,
    their fold the remainder of id / 8, and every third one shares its label."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
        for i in ids:
            features = {
                name: tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
                for name, value in (
                    ("id_xf", i),
                    ("span", int(path.parent.name[-1])),
                    ("label", i % 2),
                    ("shares_label", int(i % 3 == 0)),
                    ("fold", i % 8),
                )
            }
            features["weight"] = tf.train.Feature(float_list=tf.train.FloatList(value=[i / 10]))
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def window(tmp_path: Path) -> list[str]:
    """Two spans of two files each, with 50 examples in total."""
    write(tmp_path / "span-1" / "a.gz", range(10))
    write(tmp_path / "span-1" / "b.gz", range(10, 25))
    write(tmp_path / "span-2" / "a.gz", range(25, 25))
    write(tmp_path / "span-2" / "b.gz", range(25, 50))
    return [str(tmp_path / "span-1" / "*"), str(tmp_path / "span-2" / "*")]


def example_of(**values: int) -> bytes:
    ints = {name: tf.train.Int64List(value=[value]) for name, value in values.items()}
    features = {name: tf.train.Feature(int64_list=value) for name, value in ints.items()}
    serialized: bytes = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    return serialized


def ints(*names: str) -> dict[str, Any]:
    return {name: tf.io.FixedLenFeature([], tf.int64) for name in names}


def training(**values: Any) -> settings.Training:
    return settings.Training(**{"batch_size": 16, "shuffle_buffer_size": 30, **values})


def ids_of(dataset: tf.data.Dataset) -> list[int]:
    return [int(i) for features, _, _ in dataset for i in features["id_xf"].numpy()]


def test_all_files_of_all_patterns_are_read_once(tmp_path: Path) -> None:
    patterns = window(tmp_path)
    assert data.count_labels(patterns, FEATURE_SPEC) == LabelCounts(negatives=25, positives=25)
    assert data.count_labels(patterns[:1], FEATURE_SPEC) == LabelCounts(negatives=13, positives=12)
    assert sorted(ids_of(data.eval_dataset([*patterns, patterns[0]], FEATURE_SPEC))) == list(range(50))
    assert data.count_labels([str(tmp_path / "nothing-*")], FEATURE_SPEC).total == 0


def test_the_name_of_a_folder_is_no_pattern(tmp_path: Path) -> None:
    assert data.count_labels(window(tmp_path / "[eu]"), FEATURE_SPEC).total == 50


def test_batches_keep_the_last_examples_with_their_labels_and_weights(tmp_path: Path) -> None:
    weighted = {**FEATURE_SPEC, "weight": tf.io.FixedLenFeature([], tf.float32)}
    batches = list(data.train_dataset(window(tmp_path), weighted, training(), epoch=1))
    assert [len(labels) for _, labels, _ in batches] == [16, 16, 16, 2]
    for features, labels, weights in batches:
        assert labels.dtype == weights.dtype == tf.float32
        assert set(features) == {"id_xf"}
        np.testing.assert_array_equal(labels, features["id_xf"] % 2)
        np.testing.assert_allclose(weights, features["id_xf"].numpy() / 10, rtol=1e-6)


def test_examples_without_weights_count_once(tmp_path: Path) -> None:
    (_, _, weights), *_ = data.eval_dataset(window(tmp_path), FEATURE_SPEC)
    np.testing.assert_array_equal(weights, np.ones(50, np.float32))


def test_files_are_told_apart_by_the_span_of_their_examples(tmp_path: Path) -> None:
    patterns = window(tmp_path)
    files = data.expand_patterns(patterns)
    by_span = data.files_by_span(files, {"span": tf.io.FixedLenFeature([], tf.int64)})
    assert by_span == {1: [str(tmp_path / "span-1" / "a.gz"), str(tmp_path / "span-1" / "b.gz")],
                       2: [str(tmp_path / "span-2" / "b.gz")]}  # fmt: skip


def test_a_file_without_a_byte_is_refused(tmp_path: Path) -> None:
    patterns = window(tmp_path)
    (tmp_path / "span-1" / "b.gz").write_bytes(b"")
    with pytest.raises(InputError, match=r"must have bytes. Received: none in .*/span-1/b\.gz$"):
        data.expand_patterns(patterns)


def test_the_order_is_the_seeds_and_the_epochs(tmp_path: Path) -> None:
    patterns = window(tmp_path)

    def ids(seed: int, epoch: int, skip_batches: int = 0) -> list[int]:
        return ids_of(data.train_dataset(patterns, FEATURE_SPEC, training(seed=seed), epoch, skip_batches))

    first = ids(1, 1)
    assert sorted(first) == list(range(50))
    assert sorted(first[:25]) != sorted(first[25:])
    assert ids(1, 1) == first
    others = [ids(1, 2), ids(1, 3), ids(2, 1), ids(2, 2)]
    assert len({tuple(order) for order in (first, *others)}) == 5
    assert ids(1, 1, skip_batches=2) == first[32:]
    assert ids(1, 1, skip_batches=4) == []


def test_reading_an_epoch_again_repeats_it(tmp_path: Path) -> None:
    patterns = window(tmp_path)
    dataset = data.train_dataset(patterns, FEATURE_SPEC, training(), epoch=7)
    assert ids_of(dataset) == ids_of(dataset)


def test_negatives_are_drawn_anew_in_each_epoch_and_positives_are_all_kept(tmp_path: Path) -> None:
    patterns = [str(tmp_path / "*.gz")]
    write(tmp_path / "a.gz", range(6000))
    write(tmp_path / "b.gz", range(6000, 10_000))

    def drawn(epoch: int, **values: Any) -> list[int]:
        settings = training(negative_sampling_rate=0.2, shuffle_buffer_size=10_000, batch_size=1024, **values)
        return ids_of(data.train_dataset(patterns, FEATURE_SPEC, settings, epoch))

    first, second = drawn(1), drawn(2)
    for ids in (first, second):
        assert sorted(i for i in ids if i % 2) == list(range(1, 10_000, 2))
        negatives = [i for i in ids if i % 2 == 0]
        assert len(set(negatives)) == len(negatives)
        # Binomial: 5000 draws at 0.2 have a standard deviation of 28. Both files are drawn from, not only their union.
        assert len(negatives) == pytest.approx(1000, abs=5 * 28)
        assert sum(i < 6000 for i in negatives) == pytest.approx(600, abs=5 * 22)
    both = {i for i in first if i % 2 == 0} & {i for i in second if i % 2 == 0}
    assert len(both) == pytest.approx(200, abs=5 * 14), "the draws of two epochs have nothing to do with each other"
    assert drawn(1) == first
    assert drawn(1, seed=2) != first


def test_expected_examples_after_drawing() -> None:
    assert LabelCounts(negatives=1001, positives=30).after_drawing(0.1) == 130
    assert LabelCounts(negatives=1001, positives=30).after_drawing(1.0) == 1031


def test_examples_that_share_a_label_with_an_evaluated_one_are_left_out(tmp_path: Path) -> None:
    patterns = window(tmp_path)
    withheld = data.Withheld(2, ints("span", "shares_label"))
    counts = data.count_labels(patterns, FEATURE_SPEC, withheld)
    shared = [i for i in range(25, 50) if i % 3 == 0]  # the first span's are trained on
    assert counts == LabelCounts(25 - sum(i % 2 == 0 for i in shared), 25 - sum(i % 2 for i in shared), len(shared))
    dataset = data.train_dataset(patterns, FEATURE_SPEC, training(), 1, withheld=withheld)
    assert sorted(ids_of(dataset)) == sorted(set(range(50)) - set(shared))


def test_of_the_span_before_only_late_labels_of_the_evaluated_span_are_withheld(tmp_path: Path) -> None:
    def write_late(path: Path, ids: range, late: int | None) -> str:
        """Writes examples of span 1, all of which share their label; a span's own examples have no `late_label`."""
        path.parent.mkdir()
        values = {"span": 1, "label": 0, "shares_label": 1} | ({} if late is None else {"late_label": late})
        with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
            for i in ids:
                ints = {name: tf.train.Int64List(value=[value]) for name, value in (values | {"id_xf": i}).items()}
                features = {name: tf.train.Feature(int64_list=value) for name, value in ints.items()}
                features["weight"] = tf.train.Feature(float_list=tf.train.FloatList(value=[1.0]))
                writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
        return str(path)

    patterns = [
        write_late(tmp_path / "own" / "a.gz", range(10), None),
        write_late(tmp_path / "late" / "a.gz", range(10, 15), 1),
        write_late(tmp_path / "none" / "a.gz", range(15, 20), 0),
    ]
    as_numbers = ints("span", "shares_label") | {"late_label": tf.io.FixedLenFeature([], tf.int64, 0)}

    def trained(span: int) -> list[int]:
        withheld = data.Withheld(span, as_numbers)
        return sorted(ids_of(data.train_dataset(patterns, FEATURE_SPEC, training(), 1, withheld=withheld)))

    assert trained(2) == [*range(10), *range(15, 20)]  # span 2's installs made the late labels
    assert trained(1) == list(range(10, 15))
    assert trained(3) == list(range(20))


def test_held_out_examples_are_validated_on_and_not_trained_on(tmp_path: Path) -> None:
    patterns = window(tmp_path)
    withheld, held_out = data.Withheld(2, ints("span", "shares_label")), data.HeldOut(0.3, 2, ints("span", "fold"))
    newest = range(25, 50)
    shared = {i for i in newest if i % 3 == 0}
    in_folds = {i for i in newest if i % 8 in (2, 3, 4)}  # 0.3 of 8 folds, rounded up, from the span's number on
    trained = {i for epoch in (1, 2) for i in ids_of(_train(patterns, epoch, withheld, held_out))}
    validated = set(ids_of(data.eval_dataset(patterns, FEATURE_SPEC, selection=held_out.among)))
    assert validated == in_folds
    assert trained == set(range(50)) - in_folds - shared
    counts = data.count_labels(patterns, FEATURE_SPEC, withheld, held_out)
    held = in_folds - shared
    assert counts == LabelCounts(
        negatives=sum(i % 2 == 0 for i in trained),
        positives=sum(i % 2 for i in trained),
        withheld=len(shared),
        held_out_negatives=sum(i % 2 == 0 for i in held),
        held_out_positives=sum(i % 2 for i in held),
    )
    assert counts.held_out == len(held)


def test_late_labels_of_the_span_before_are_held_out_like_the_newest_spans() -> None:
    parsing = ints("span", "fold") | {"late_label": tf.io.FixedLenFeature([], tf.int64, 0)}
    rows = [(1, 0, 7), (1, 1, 7), (1, 1, 0), (1, 1, 1), (2, 0, 7), (2, 0, 2), (2, 0, -1), (7, 0, 7)]
    examples = [example_of(span=span, late_label=late, fold=fold) for span, late, fold in rows]

    def held_out(fraction: float, span: int) -> list[int]:
        return np.flatnonzero(data.HeldOut(fraction, span, parsing).among(tf.constant(examples))).tolist()

    assert held_out(1 / 8, 2) == [5]
    assert held_out(0.5, 2) == [5]  # folds 2 to 5
    assert held_out(7 / 8, 2) == [1, 2, 4, 5]  # all but fold 1
    assert held_out(1 / 4, 7) == [7]  # folds 7 and 0


def _train(patterns: list[str], epoch: int, withheld: data.Withheld, held_out: data.HeldOut) -> tf.data.Dataset:
    return data.train_dataset(patterns, FEATURE_SPEC, training(), epoch, withheld=withheld, held_out=held_out)


def test_a_chance_of_a_place_is_an_inverse_weight_up_to_the_largest(tmp_path: Path) -> None:
    """Chances of 1, 1/2 and 1/8, of which the last weighs 5, not 8, beside the examples' own weights of 2."""
    path = tmp_path / "a.gz"
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
        for i, chance in enumerate([1.0, 0.5, 0.125] * 2):
            example = tf.train.Example.FromString(example_of(id_xf=i, label=i % 2))
            for name, value in (("placed_by_chance", chance), ("weight", 2.0)):
                example.features.feature[name].float_list.value.append(value)
            writer.write(example.SerializeToString())
    parsing = ints("id_xf", "label") | {
        name: tf.io.FixedLenFeature([], tf.float32) for name in ("placed_by_chance", "weight")
    }
    ((features, _, weights),) = data.train_dataset([str(path)], parsing, training(), 1, clip=5.0)
    assert set(features) == {"id_xf"}
    expected = np.array([2, 4, 10])[features["id_xf"].numpy() % 3]
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    ((features, _, weights),) = data.eval_dataset([str(path)], parsing)  # is measured on the log as it is
    assert set(features) == {"id_xf"}
    np.testing.assert_array_equal(weights, np.full(6, 2))
    np.testing.assert_allclose(data.placements([str(path)], parsing), [1, 0.5, 0.125] * 2)
