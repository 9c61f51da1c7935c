"""Falls of AUCs with one feature's values permuted among rows, by real SavedModels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import tensorflow as tf

from components.evaluation.scoring.scores import Rows, read_rows
from components.quality_gate import permutation
from components.quality_gate.inputs import AucFalls
from components.quality_gate.permutation import auc_falls

FEATURES = {"x": ("x", "old_x"), "note": ("note",), "unread": ("unread",)}


class Sum(tf.Module):  # type: ignore[misc]
    """Scores a row by the number `x`, by the same under its old name, and by how many texts its `note` has."""

    def __init__(self, of_note: float):
        super().__init__()
        self.of_note = tf.Variable(of_note)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])  # type: ignore[untyped-decorator]
    def score(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        numbers = {name: tf.io.FixedLenFeature([], tf.float32, 0.0) for name in ("x", "old_x")}
        parsed = tf.io.parse_example(examples, {**numbers, "note": tf.io.RaggedFeature(tf.string)})
        texts = tf.cast(parsed["note"].row_lengths(), tf.float32)
        return {"scores": tf.sigmoid(parsed["x"] + parsed["old_x"] + self.of_note * texts)}


def model(folder: Path, of_note: float) -> str:
    module, path = Sum(of_note), str(folder / f"model-{of_note}")
    tf.saved_model.save(module, path, signatures={"serving_default": module.score})
    return path


def example(label: int, x: float, note: Sequence[str] = (), weight: float = 1.0) -> bytes:
    made = tf.train.Example()
    features = made.features.feature
    features["label"].int64_list.value.append(label)
    features["weight"].float_list.value.append(weight)
    features["x"].float_list.value.append(x / 2)
    features["old_x"].float_list.value.append(x / 2)
    features["unread"].bytes_list.value.append(b"a")
    if note:
        features["note"].bytes_list.value.extend(text.encode() for text in note)
    serialized: bytes = made.SerializeToString()
    return serialized


def rows(folder: Path, examples: Sequence[bytes]) -> Rows:
    with tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP") as writer:
        for serialized in examples:
            writer.write(serialized)
    return read_rows(str(folder), [])


@pytest.fixture
def split(tmp_path: Path) -> Path:
    (tmp_path / "Split-eval").mkdir()
    return tmp_path / "Split-eval"


def measured(of_rows: Rows, saved_model: str, anchor: str | None = None, seed: int = 1) -> AucFalls:
    found = auc_falls(of_rows, FEATURES, ["note"], saved_model, anchor, seed)
    assert found is not None
    return found


def test_two_rows_exchange_their_values(split: Path, tmp_path: Path) -> None:
    """With the negative's `x`, under both names, the positive is ranked last; what is not read changes nothing."""
    found = measured(rows(split, [example(1, 2.0), example(0, 1.0)]), model(tmp_path, 0.0))
    assert found == AucFalls(2, 1.0, {"x": 1.0, "note": 0.0, "unread": 0.0}, exempt=("note",))


def test_a_missing_value_and_a_list_go_to_another_row_whole(split: Path, tmp_path: Path) -> None:
    """Scores are `x` plus ten for each text: 11 of the positive and 24 of the negative, and then 21 and 14."""
    of_rows = rows(split, [example(1, 1.0, ["a"]), example(0, 4.0, ["a", "b"])])
    found = measured(of_rows, model(tmp_path, 10.0), model(tmp_path, 0.0))
    assert (found.auc, found.falls["note"]) == (0.0, -1.0)
    assert (found.anchor_auc, found.anchor_falls) == (0.0, {"x": -1.0, "note": 0.0, "unread": 0.0})
    found = measured(rows(split, [example(1, 1.0), example(0, 4.0, ["a"])]), model(tmp_path, 10.0))
    assert (found.auc, found.falls["note"]) == (0.0, -1.0)


def test_a_feature_that_contains_the_label_has_all_that_the_anchor_lacks(split: Path, tmp_path: Path) -> None:
    """By `x`, positives and negatives are alike; a text that the positives have is read by the candidate model only."""
    of_rows = rows(split, [example(i % 2, float(i // 2 % 7), ["a"] * (i % 2)) for i in range(84)])
    found = measured(of_rows, model(tmp_path, 10.0), model(tmp_path, 0.0))
    assert (found.num_rows, found.auc, found.anchor_auc) == (84, 1.0, 0.5)
    assert found.falls["note"] == pytest.approx(0.5, abs=0.2)
    assert (found.anchor_falls["note"], found.falls["unread"], found.anchor_falls["unread"]) == (0.0, 0.0, 0.0)


def test_the_same_seed_gives_the_same_answer(split: Path, tmp_path: Path) -> None:
    of_rows, saved_model = rows(split, [example(i % 2, float(i * i % 31)) for i in range(60)]), model(tmp_path, 0.0)
    assert measured(of_rows, saved_model) == measured(of_rows, saved_model)
    assert measured(of_rows, saved_model) != measured(of_rows, saved_model, seed=2)


def test_the_sample_has_both_labels_and_the_cost_is_bounded(
    split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three features and the rows as they are make four scores of each row, eight with the anchor."""
    examples = [example(int(i < 6), float(i)) for i in range(100)]
    of_rows, saved_model = rows(split, examples), model(tmp_path, 0.0)
    monkeypatch.setattr(permutation, "MAX_ROWS", 40)
    found = measured(of_rows, saved_model)
    assert (found.num_rows, found.auc) == (40, 0.0)  # the six positives have the lowest scores
    monkeypatch.setattr(permutation, "MAX_SCORED_ROWS", 160)
    assert measured(of_rows, saved_model, saved_model).num_rows == 160 // 8
    assert measured(of_rows, saved_model).num_rows == 160 // 4


def test_rows_of_one_label_or_without_a_weight_are_not_measured(split: Path, tmp_path: Path) -> None:
    of_rows = rows(split, [example(1, 1.0), example(1, 2.0), example(0, 0.0, weight=0.0)])
    assert auc_falls(of_rows, FEATURES, [], model(tmp_path, 0.0), None) is None
