"""The exported SavedModel has the same scores as in training, and needs only TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from components.evaluation.scoring.scoring_graph import ScoringGraph
from tests.trainer.small_deployment import Row, Span, to_example
from trainer.signatures import export_model, serving_feature_spec
from trainer.training import data
from trainer.wide_deep.model import WideDeep
from transform.example_keys import LABEL
from transform.feature import MISSING_QUANTILE, MISSING_ROW
from transform.feature_spec import vocabulary_file_name
from transform.signature_names import EXAMPLES_INPUT, SCORES_OUTPUT, SERVING_SIGNATURE, TRANSFORM_SIGNATURE

NOT_SERVED = ("label", "request_id")

_TENSORFLOW_ONLY = """
import sys

for name in ("tf_keras", "keras", "tensorflow_transform", "tfx", "tfx_bsl", "trainer", "transform"):
    sys.modules[name] = None  # an import of it fails
import numpy as np
import tensorflow as tf

directory, examples, contexts, items, scores = sys.argv[1:]


def read(path):
    return tf.stack(list(tf.data.TFRecordDataset(path)))


loaded = tf.saved_model.load(directory)
serialized = read(examples)
scored = loaded.signatures["serving_default"](examples=serialized)["scores"].numpy()
app = tf.io.FixedLenFeature([], tf.string, default_value="")
ids = tf.io.parse_example(serialized, {"app": app})["app"][:, tf.newaxis]
ranked = loaded.signatures["rank_items"](context=serialized, item_ids=ids, items=serialized[:, tf.newaxis])
has_id = ids.numpy()[:, 0] != b""
assert has_id.sum() > 500
np.testing.assert_allclose(ranked["scores"].numpy()[has_id, 0], scored[has_id], atol=1e-5)

# Each context with each item of the catalog: messages behind each other are one that has the fields of both.
contexts, items = read(contexts), read(items)
whole = contexts[:, tf.newaxis] + items[tf.newaxis, :]
expected = loaded.signatures["serving_default"](examples=tf.reshape(whole, [-1]))["scores"].numpy()
expected = expected.reshape(whole.shape)
assert (expected.std(axis=1) > 0.01).all(), "the items must differ"
ids = tf.io.parse_example(items, {"app": app})["app"]
item_ids = tf.tile(ids[tf.newaxis, :], [len(contexts), 1])
named = tf.io.parse_example(contexts, {"country": app, "installed": tf.io.VarLenFeature(tf.string)})
named["installed"] = tf.sparse.to_dense(named["installed"], default_value="")
for signature, inputs in (("rank", {"context": contexts}), ("rank_named", named)):
    ranked = loaded.signatures[signature](item_ids=item_ids, **inputs)
    found = ranked["scores"].numpy()
    assert (np.diff(found, axis=1) <= 0).all(), signature + ": best first"
    by_id = np.take_along_axis(found, np.argsort(ranked["item_ids"].numpy(), axis=1), axis=1)
    np.testing.assert_allclose(by_id, expected[:, np.argsort(ids.numpy())], rtol=0, atol=1e-5, err_msg=signature)
np.save(scores, scored)
"""


@pytest.fixture(scope="module")
def model(first_span: Span) -> WideDeep:
    spec = first_span.config.spec
    output = tft.TFTransformOutput(first_span.transform_output)
    sizes = {
        name: output.vocabulary_size_by_name(vocabulary_file_name(name))
        for name in ("app", "country", "installed_x_app")
    }
    model = WideDeep(spec, first_span.config.model, sizes)
    rng = np.random.default_rng(1)
    for variable in (model.bias, *model.wide_variables, *model.deep_variables):
        variable.assign(rng.normal(scale=0.5, size=variable.shape).astype(np.float32))
    return model


@pytest.fixture(scope="module")
def catalog(first_span: Span) -> dict[str, Row]:
    """One item per app in the evaluation rows, with the price of the app's first row."""
    items: dict[str, Row] = {}
    for row in first_span.eval_rows:
        for app in row["app"]:
            items.setdefault(app, {"app": [app], "price": row["price"]})
    return items


@pytest.fixture(scope="module")
def exported(
    first_span: Span, model: WideDeep, catalog: dict[str, Row], tmp_path_factory: pytest.TempPathFactory
) -> str:
    directory = str(tmp_path_factory.mktemp("exported"))
    items = {app.encode(): to_example(item, without=("app",)) for app, item in catalog.items()}
    export_model(model, tft.TFTransformOutput(first_span.transform_output), first_span.config, directory, items)
    return directory


@pytest.fixture(scope="module")
def signatures(exported: str) -> Any:
    """The signatures after loading."""
    return tf.saved_model.load(exported).signatures


@pytest.fixture(scope="module")
def examples(first_span: Span) -> list[bytes]:
    return [to_example(row, without=NOT_SERVED) for row in first_span.eval_rows]


def training_logits(first_span: Span, model: WideDeep) -> np.ndarray:
    """The logits of the transformed evaluation examples, in the files' order."""
    output = tft.TFTransformOutput(first_span.transform_output)
    dataset = data.eval_dataset([first_span.eval_files], output.transformed_feature_spec())
    return np.concatenate([model(features).numpy() for features, _, _ in dataset])


def test_raw_examples_score_as_transformed_ones(
    first_span: Span, model: WideDeep, signatures: Any, examples: list[bytes]
) -> None:
    signature = signatures[SERVING_SIGNATURE]
    scores = signature(**{EXAMPLES_INPUT: tf.constant(examples)})
    assert set(scores) == {SCORES_OUTPUT}
    assert scores[SCORES_OUTPUT].dtype == tf.float32
    # Beam writes the examples in a different order, so compare sorted logits.
    expected = 1 / (1 + np.exp(-np.sort(training_logits(first_span, model).astype(np.float64))))
    np.testing.assert_allclose(np.sort(scores[SCORES_OUTPUT].numpy()), expected, atol=1e-6)


def test_the_evaluation_scores_as_the_whole_model_does(exported: str, signatures: Any, examples: list[bytes]) -> None:
    signature = signatures[SERVING_SIGNATURE]
    expected = signature(examples=tf.constant(examples))[SCORES_OUTPUT].numpy()
    found = ScoringGraph(exported)(np.array(examples, object))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=5e-6)


def test_a_candidate_scores_alone_as_in_a_batch(signatures: Any, examples: list[bytes]) -> None:
    signature = signatures[SERVING_SIGNATURE]
    together = signature(examples=tf.constant(examples[:5]))[SCORES_OUTPUT].numpy()
    alone = [signature(examples=tf.constant([one]))[SCORES_OUTPUT].numpy()[0] for one in examples[:5]]
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert signature(examples=tf.constant([], tf.string))[SCORES_OUTPUT].shape == (0,)


def test_the_label_does_not_change_the_score(first_span: Span, signatures: Any, examples: list[bytes]) -> None:
    signature = signatures[SERVING_SIGNATURE]
    with_all = tf.constant([to_example(row) for row in first_span.eval_rows])
    np.testing.assert_array_equal(
        signature(examples=with_all)[SCORES_OUTPUT], signature(examples=tf.constant(examples))[SCORES_OUTPUT]
    )


def test_transform_signature_gives_the_transformed_features(signatures: Any) -> None:
    rows: list[Row] = [
        {"app": ["app1"], "installed": ["app2", "never seen"], "price": [], "country": ["a"]},
        {"app": [], "installed": [], "price": [0.0], "country": ["nowhere"]},
    ]
    signature = signatures[TRANSFORM_SIGNATURE]
    features = {k: v.numpy() for k, v in signature(examples=tf.constant([to_example(r) for r in rows])).items()}
    assert features["app_xf"].tolist()[1] == MISSING_ROW
    assert features["installed_xf/indices"].tolist() == [[0, 0], [0, 1]]
    assert features["installed_xf/values"].tolist()[1] == 9, "an app that was never seen is out of vocabulary"
    assert features["installed_xf/dense_shape"].tolist() == [2, 2]
    assert features["price_xf"].tolist() == [MISSING_QUANTILE, 0.0]
    assert features["price_bucket_xf"].tolist() == [4, 0]
    assert features["country_xf"].tolist()[1] in (4, 5)
    assert LABEL not in features


def test_the_ranking_signatures_name_the_unknown_values_of_each_context(signatures: Any) -> None:
    """A missing country is no unknown one; an app that was never seen may be new."""
    countries = [["a"], ["nowhere"], [], [" c "]]
    contexts = tf.constant([to_example({"country": c, "installed": ["never seen"]}) for c in countries])
    ids, expected = tf.constant([["app1", "never seen"]] * 4), ["", "country", "", ""]
    named = {"country": tf.constant(["a", "nowhere", "", " c "]), "installed": tf.constant([["never seen"]] * 4)}
    for signature, inputs in (
        ("rank", {"context": contexts}),
        ("rank_items", {"context": contexts, "items": tf.fill([4, 2], "")}),
        ("rank_named", named),
    ):
        found = signatures[signature](item_ids=ids, **inputs)["unknown_context"].numpy()
        assert [text.decode() for text in found] == expected, signature


@pytest.mark.slow
def test_loads_scores_and_ranks_with_tensorflow_alone(
    first_span: Span,
    model: WideDeep,
    exported: str,
    examples: list[bytes],
    catalog: dict[str, Row],
    tmp_path: Path,
) -> None:
    """Checks each signature; the candidates are the catalog's items and one that is not in the catalog."""
    of_items = (*NOT_SERVED, "app", "price")
    records = {
        "examples": examples,
        "contexts": [to_example(row, without=of_items) for row in first_span.eval_rows[:50]],
        "items": [to_example(item) for item in (*catalog.values(), {"app": ["never seen"]})],
    }
    for name, serialized in records.items():
        with tf.io.TFRecordWriter(str(tmp_path / name)) as writer:
            for example in serialized:
                writer.write(example)
    files = [tmp_path / name for name in records]
    command = [sys.executable, "-c", _TENSORFLOW_ONLY, exported, *files, tmp_path / "scores.npy"]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    expected = 1 / (1 + np.exp(-np.sort(training_logits(first_span, model).astype(np.float64))))
    np.testing.assert_allclose(np.sort(np.load(tmp_path / "scores.npy")), expected, atol=1e-6)


def test_nothing_of_keras_and_no_optimizer_state_is_exported(model: WideDeep, exported: str) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel.FromString((Path(exported) / "saved_model.pb").read_bytes())
    nodes = proto.meta_graphs[0].object_graph_def.nodes
    kinds = {node.user_object.identifier for node in nodes if node.HasField("user_object")}
    assert not any("keras" in kind for kind in kinds), kinds
    variables = [node.variable.name for node in nodes if node.HasField("variable")]
    variables = [name for name in variables if not name.startswith("ranker/")]  # those are copies of the others
    assert len(variables) == len([model.bias, *model.wide_variables, *model.deep_variables])  # no weight is zero here


def test_the_vocabularies_are_part_of_the_export(exported: str) -> None:
    assets = {path.name for path in (Path(exported) / "assets").iterdir()}
    assert assets == {"app_vocabulary", "country_vocabulary", "installed_x_app_vocabulary"}


def test_requests_need_no_label_and_no_bookkeeping(first_span: Span) -> None:
    assert set(serving_feature_spec(first_span.config)) == {"app", "installed", "price", "country"}
