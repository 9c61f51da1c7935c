"""A ranking whose contexts or items are not those of its rows of item ids is refused in words."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from tests.trainer.rank_export.every_cross import CONFIG
from tests.trainer.small_deployment import make_config
from trainer.rank_export.signatures import ranking_signatures

RULE = "one context for each row of `item_ids`. Received, contexts and rows:"
TWO_ROWS = [["a", "b"], ["c", ""]]


@pytest.fixture(scope="module")
def signatures() -> dict[str, Any]:
    """Signatures that return the number of ids, in place of scores."""
    spec = make_config(**CONFIG).spec
    kinds = {f.name: tf.string if f.of_kind.holds == "text" else tf.float32 for f in spec.features}
    parsing = {name: tf.io.VarLenFeature(kind) for name, kind in kinds.items()}
    return ranking_signatures(lambda _, ids, __: {"number": tf.size(ids)}, spec, parsing, ())


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("name", ["rank", "rank_items"])
def test_contexts_as_examples(signatures: dict[str, Any], name: str, number: int) -> None:
    inputs = {"context": tf.constant([""] * number), "item_ids": tf.constant(TWO_ROWS)}
    if name == "rank_items":
        inputs["items"] = tf.constant([["", ""]] * 2)
    if number == 2:
        assert signatures[name](**inputs)["number"] == 4
        return
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"{RULE}\] \[{number}\] \[2\]"):
        signatures[name](**inputs)


@pytest.mark.parametrize("ages", [[1.0], [1.0, 2.0], [1.0, 2.0, 3.0]])
def test_contexts_by_feature(signatures: dict[str, Any], ages: list[float]) -> None:
    inputs = [tf.constant(TWO_ROWS), tf.constant(["a", "b"]), tf.constant([["app1"], [""]]), tf.constant(ages)]
    if len(ages) == 2:
        assert signatures["rank_named"](*inputs)["number"] == 4
        return
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"{RULE}\] \[.*{len(ages)}.*\] \[2\]"):
        signatures["rank_named"](*inputs)


def test_items_of_another_shape(signatures: dict[str, Any]) -> None:
    inputs = {"context": tf.constant(["", ""]), "item_ids": tf.constant(TWO_ROWS)}
    rule = r"`items` must have the shape of `item_ids`. Received, shapes:\] \[2 3\] \[2 2\]"
    with pytest.raises(tf.errors.InvalidArgumentError, match=rule):
        signatures["rank_items"](**inputs, items=tf.constant([["", "", ""]] * 2))
