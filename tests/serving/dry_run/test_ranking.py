"""Tests of the dry run's ranking: the order of candidates in a model's answer, and contexts as named tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from serving.dry_run.loading import ModelError
from serving.dry_run.ranking import in_given_order, inputs_of
from serving.dry_run.worker_commands import _WorkerCommands
from tests.trainer.small_deployment import to_example

GIVEN = [b"a", b"b", b"a", b""]


def test_scores_in_the_order_in_which_the_candidates_were_given() -> None:
    scores = in_given_order("rank", GIVEN, [b"b", b"a", b"a", b""], np.array([0.5, 0.25, 0.25, 0.0]))
    assert scores.tolist() == [0.25, 0.5, 0.25, 0.0]


@pytest.mark.parametrize(
    ("ranked", "scores", "problem"),
    [
        ([b"b", b"a", b"c", b""], [0.5, 0.4, 0.3, 0.0], "must give back each candidate as often as it was given"),
        ([b"b", b"a", b"b", b""], [0.5, 0.4, 0.3, 0.0], "must give back each candidate as often as it was given"),
        ([b"b", b"a", b"a", b""], [0.5, 0.2, 0.4, 0.0], "must give the best candidate first"),
        ([b"", b"b", b"a", b"a"], [0.0, 0.5, 0.4, 0.4], "must give the best candidate first"),
    ],
)
def test_what_is_no_ranking_of_the_candidates(ranked: list[bytes], scores: list[float], problem: str) -> None:
    with pytest.raises(ModelError, match=f"^`rank` {problem}"):
        in_given_order("rank", GIVEN, ranked, np.array(scores))


class Ranks(tf.Module):  # type: ignore[misc]
    """Scores the i-th candidate of each request with sigmoid(-i); `rank_named` adds 0.01, unlike its logits."""

    def outputs(self, item_ids: tf.Tensor, off: float) -> dict[str, tf.Tensor]:
        logits = tf.zeros(tf.shape(item_ids)) - tf.range(tf.shape(item_ids)[1], dtype=tf.float32)
        return {
            "item_ids": item_ids,
            "scores": tf.sigmoid(logits) + off,
            "wide_logits": logits,
            "deep_logits": tf.zeros_like(logits),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])  # type: ignore[untyped-decorator]
    def score(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": tf.zeros(tf.shape(examples))}

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[
            tf.TensorSpec([None], tf.string, "context"),
            tf.TensorSpec([None, None], tf.string, "item_ids"),
        ]
    )
    def rank(self, context: tf.Tensor, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.outputs(item_ids, 0.0)

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[
            tf.TensorSpec([None, None], tf.string, "item_ids"),
            tf.TensorSpec([None], tf.string, "country"),
            tf.TensorSpec([None, None], tf.string, "installed"),
            tf.TensorSpec([None], tf.float32, "age"),
        ]
    )
    def rank_named(self, item_ids: tf.Tensor, *context: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.outputs(item_ids, 0.01)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder, ranks = str(tmp_path_factory.mktemp("ranks")), Ranks()
    signatures = {"serving_default": ranks.score, "rank": ranks.rank, "rank_named": ranks.rank_named}
    tf.saved_model.save(ranks, folder, signatures=signatures)
    return folder


CONTEXTS = [
    to_example({"country": ["de"], "installed": ["a", "b"], "age": [30.0], "unread": ["x"]}),
    to_example({}),
    to_example({"installed": ["c"]}),
]


def test_contexts_by_name_say_what_the_examples_say(model: str) -> None:
    signature = tf.saved_model.load(model).signatures["rank_named"]
    inputs = inputs_of(signature, "rank_named", CONTEXTS, np.array([[b"a"]] * 3, object), None)
    assert inputs.keys() == {"item_ids", "country", "installed", "age"}
    assert inputs["country"].numpy().tolist() == [b"de", b"", b""]
    assert inputs["installed"].numpy().tolist() == [[b"a", b"b"], [b"", b""], [b"c", b""]]
    np.testing.assert_array_equal(inputs["age"], [30, np.nan, np.nan])
    assert signature(**inputs)["scores"].shape == (3, 1)
    nobody = inputs_of(signature, "rank_named", CONTEXTS[1:2], np.array([[b"a"]], object), None)
    assert nobody["installed"].shape == (1, 0)


def write(path: Path, records: list[bytes]) -> str:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return str(path)


@pytest.fixture
def asked(model: str, tmp_path: Path) -> tuple[_WorkerCommands, dict[str, Any]]:
    conversation = _WorkerCommands()
    assert conversation.load(model)["signatures"] == ["rank", "rank_named", "serving_default"]
    ids = write(tmp_path / "ids", [b"a", b"b", b"c", b"b", b"a", b"c"])
    return conversation, {
        "requests": write(tmp_path / "contexts", CONTEXTS),
        "item_ids": ids,
        "items": ids,
        "scores": str(tmp_path / "scores.npy"),
    }


def test_requests_are_ranked(asked: tuple[_WorkerCommands, dict[str, Any]]) -> None:
    conversation, arguments = asked
    conversation.rank("rank", **arguments)
    first, second = 1 / 2, 1 / (1 + np.exp(1))
    np.testing.assert_allclose(np.load(arguments["scores"]), [first, second] * 3, atol=1e-6)
    times = conversation.measure("rank", arguments["requests"], arguments["item_ids"], batch_size=4, repetitions=5)
    assert len(times["milliseconds"]) == 5


def test_scores_that_are_not_of_their_logits_are_told(asked: tuple[_WorkerCommands, dict[str, Any]]) -> None:
    conversation, arguments = asked
    with pytest.raises(
        ModelError, match=r"^`rank_named` must give the sigmoid of its logits' sum .* difference of 0.01"
    ):
        conversation.rank("rank_named", **arguments)


def test_a_signature_that_is_not_there_is_told(asked: tuple[_WorkerCommands, dict[str, Any]]) -> None:
    conversation, arguments = asked
    with pytest.raises(ModelError, match=r"^the model must have the signature 'rank_items'. Received: \['rank', "):
        conversation.rank("rank_items", **arguments)
