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


def example(label: int, x: float, note: Sequence[str] = (), weight: float = 1.0, user: str = "") -> bytes:
    made = tf.train.Example()
    features = made.features.feature
    features["label"].int64_list.value.append(label)
    features["weight"].float_list.value.append(weight)
    features["x"].float_list.value.append(x / 2)
    features["old_x"].float_list.value.append(x / 2)
    features["unread"].bytes_list.value.append(b"a")
    if user:
        features["user"].bytes_list.value.append(user.encode())
    if note:
        features["note"].bytes_list.value.extend(text.encode() for text in note)
    serialized: bytes = made.SerializeToString()
    return serialized


def rows(folder: Path, examples: Sequence[bytes]) -> Rows:
    with tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP") as writer:
        for serialized in examples:
            writer.write(serialized)
    return read_rows(str(folder), ["user"])


@pytest.fixture
def split(tmp_path: Path) -> Path:
    (tmp_path / "Split-eval").mkdir()
    return tmp_path / "Split-eval"


def measured(of_rows: Rows, saved_model: str, seed: int = 1) -> AucFalls:
    found = auc_falls(of_rows, FEATURES, saved_model, seed)
    assert found is not None
    return found


def test_two_rows_exchange_their_values(split: Path, tmp_path: Path) -> None:
    """With the negative's `x`, under both names, the positive is ranked last; what is not read changes nothing."""
    found = measured(rows(split, [example(1, 2.0), example(0, 1.0)]), model(tmp_path, 0.0))
    assert found == AucFalls(2, 1.0, {"x": 1.0, "note": 0.0, "unread": 0.0}, errors=dict.fromkeys(FEATURES, 0.0))


@pytest.mark.parametrize(("users", "error"), [(("", "", ""), 0.1875**0.5), (("a", "a", "b"), 0.5), (("a",) * 3, None)])
def test_a_fall_has_the_error_of_its_users(
    split: Path, tmp_path: Path, users: Sequence[str], error: float | None
) -> None:
    """With seed 2, the values 3, 2 and 1 become 2, 1 and 3.

    The placement of the positive falls by 1/2, those of the negatives by 0 and 1. Weighted by one over the rows of
    their label, these differ from their mean by 0, -1/4 and 1/4. The sum of the squares of the users' sums, times
    n / (n - 1) for n users, is 1/8 · 3/2 for three users, and 1/8 · 2 for two.
    """
    examples = [example(*row, user=user) for row, user in zip([(1, 3.0), (0, 2.0), (0, 1.0)], users, strict=True)]
    found = measured(rows(split, examples), model(tmp_path, 0.0), seed=2)
    assert found.falls["x"] == 0.5
    assert found.errors == ({} if error is None else {"x": pytest.approx(error), "note": 0.0, "unread": 0.0})
    assert [name for name, _ in found.estimates()] == ["x", "note", "unread"]


def test_a_missing_value_and_a_list_go_to_another_row_whole(split: Path, tmp_path: Path) -> None:
    """Scores are `x` plus ten for each text: 11 of the positive and 24 of the negative, and then 21 and 14."""
    found = measured(rows(split, [example(1, 1.0, ["a"]), example(0, 4.0, ["a", "b"])]), model(tmp_path, 10.0))
    assert (found.auc, found.falls["note"]) == (0.0, -1.0)
    found = measured(rows(split, [example(1, 1.0), example(0, 4.0, ["a"])]), model(tmp_path, 10.0))
    assert (found.auc, found.falls["note"]) == (0.0, -1.0)


def test_a_feature_that_contains_the_label_has_all_that_the_anchor_lacks(split: Path, tmp_path: Path) -> None:
    """By `x`, positives and negatives are alike; a text that the positives have is read by the candidate model only."""
    of_rows = rows(split, [example(i % 2, float(i // 2 % 7), ["a"] * (i % 2)) for i in range(84)])
    found, anchor = (measured(of_rows, model(tmp_path, of_note)) for of_note in (10.0, 0.0))
    assert (found.num_rows, found.auc, anchor.num_rows, anchor.auc) == (84, 1.0, 84, 0.5)
    assert found.falls["note"] == pytest.approx(0.5, abs=0.2)
    assert (anchor.falls["note"], found.falls["unread"], anchor.falls["unread"]) == (0.0, 0.0, 0.0)


def test_the_same_seed_gives_the_same_answer(split: Path, tmp_path: Path) -> None:
    of_rows, saved_model = rows(split, [example(i % 2, float(i * i % 31)) for i in range(60)]), model(tmp_path, 0.0)
    assert measured(of_rows, saved_model) == measured(of_rows, saved_model)
    assert measured(of_rows, saved_model) != measured(of_rows, saved_model, seed=2)


def test_the_sample_has_both_labels_and_the_cost_is_bounded(
    split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three features and the rows as they are make four scores of each row; a batch has fewer rows than the sample."""
    monkeypatch.setattr(permutation, "BATCH_SIZE", 32)
    examples = [example(int(i < 6), float(i)) for i in range(100)]
    of_rows, saved_model = rows(split, examples), model(tmp_path, 0.0)
    monkeypatch.setattr(permutation, "MAX_ROWS", 40)
    found = measured(of_rows, saved_model)
    assert (found.num_rows, found.auc) == (40, 0.0)  # the six positives have the lowest scores
    monkeypatch.setattr(permutation, "MAX_SCORED_ROWS", 80)
    assert measured(of_rows, saved_model).num_rows == 80 // 4


def test_rows_of_one_label_or_without_a_weight_are_not_measured(split: Path, tmp_path: Path) -> None:
    of_rows = rows(split, [example(1, 1.0), example(1, 2.0), example(0, 0.0, weight=0.0)])
    assert auc_falls(of_rows, FEATURES, model(tmp_path, 0.0)) is None
