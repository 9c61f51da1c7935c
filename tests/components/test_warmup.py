"""Warm-up records of a model that ranks, replayed with its own signatures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from components.push.warmup import write_warmup
from transform.files.version_layout import EXTRA_ASSETS, WARMUP_FILE


class Ranks(tf.Module):  # type: ignore[misc]
    """Scores examples with 0, and returns candidate items unranked."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])  # type: ignore[untyped-decorator]
    def score(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": tf.zeros(tf.shape(examples))}

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[
            tf.TensorSpec([None], tf.string, name="context"),
            tf.TensorSpec([None, None], tf.string, name="item_ids"),
        ]
    )
    def rank(self, context: tf.Tensor, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"item_ids": item_ids, "num_contexts": tf.size(context)}

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[
            tf.TensorSpec([None], tf.string, name="context"),
            tf.TensorSpec([None, None], tf.string, name="item_ids"),
            tf.TensorSpec([None, None], tf.string, name="items"),
        ]
    )
    def rank_items(self, context: tf.Tensor, item_ids: tf.Tensor, items: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"item_ids": item_ids, "items": items, "num_contexts": tf.size(context)}


def example(app: str | None) -> bytes:
    made = tf.train.Example()
    if app is not None:
        made.features.feature["app"].bytes_list.value.append(app.encode())
    return bytes(made.SerializeToString())


def records(
    folder: Path, requests: list[bytes], item_id: str | None, *, explains: bool = False
) -> list[tuple[str, dict[str, Any]]]:
    ranks = Ranks()
    signatures = {"serving_default": ranks.score, "rank": ranks.rank, "rank_items": ranks.rank_items}
    if explains:  # by inputs of the same form
        signatures |= {"explain": ranks.score, "explain_items": ranks.rank_items}
    tf.saved_model.save(ranks, str(folder), signatures=signatures)
    write_warmup(str(folder), "store", requests, item_id)
    path = os.path.join(folder, EXTRA_ASSETS, WARMUP_FILE)
    loaded = tf.saved_model.load(str(folder)).signatures
    found = []
    for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        name = request.model_spec.signature_name
        inputs = {key: tf.constant(tf.make_ndarray(tensor)) for key, tensor in request.inputs.items()}
        loaded[name](**inputs)  # must not raise
        found.append((name, inputs))
    return found


def test_a_model_that_ranks_is_warmed_up_with_as_many_candidates_as_the_paper_has(tmp_path: Path) -> None:
    requests = [example(app) for app in ("a", "b", None, "a", "c")]
    found = records(tmp_path, requests, "app")
    assert [name for name, _ in found] == ["serving_default", "rank", "rank", "rank", "rank_items"]
    ranked = [inputs for name, inputs in found if name == "rank"]
    assert [inputs["item_ids"].shape for inputs in ranked] == [(1, 200), (1, 100), (1, 50)]
    assert ranked[0]["item_ids"].numpy()[0, :4].tolist() == [b"a", b"b", b"c", b"a"]
    assert [inputs["context"].numpy().tolist() for inputs in ranked] == [[request] for request in requests[:3]]


def test_one_explanation_of_each_signature_is_warmed_up(tmp_path: Path) -> None:
    """A first explanation takes seconds: the client that asks for it would have given up."""
    found = records(tmp_path, [example(app) for app in ("a", "b")], "app", explains=True)
    explained = {name: {key: value.numpy().tolist() for key, value in inputs.items()} for name, inputs in found[1:]}
    assert explained["explain"] == {"examples": [example("a")]}
    assert explained["explain_items"] == {"context": [example("a")], "item_ids": [[b"a"]], "items": [[example("a")]]}


def test_without_an_id_there_is_nothing_to_rank(tmp_path: Path) -> None:
    assert [name for name, _ in records(tmp_path / "a", [example("a")], None)] == ["serving_default"]
    assert [name for name, _ in records(tmp_path / "b", [example(None)], "app")] == ["serving_default"]
