"""The ranking signatures compared with `serving_default` on the same candidates, for all kinds of features, crosses."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from tests.trainer.rank_export.every_cross import CONFIG
from tests.trainer.small_deployment import Row, Span, make_config, to_example, transform_span
from trainer.signatures import export_model
from trainer.training.setup import prepare
from transform.config.config import Config

pytestmark = pytest.mark.slow

APPS = [f"app{i}" for i in range(12)]
CONTEXT = ("country", "installed", "age")
ITEM = ("app", "tags", "price")


def make_catalog(rng: random.Random) -> dict[str, Row]:
    return {
        app: {
            "app": [app],
            "tags": rng.sample(["game", "free", "new", "kids"], rng.randint(0, 3)),
            "price": [] if rng.random() < 0.2 else [rng.uniform(0, 10)],
        }
        for app in APPS
    }


def make_context(rng: random.Random) -> Row:
    return {
        "country": [] if rng.random() < 0.1 else [rng.choice("abcd")],
        "installed": rng.sample([*APPS, "unheard of"], rng.randint(0, 5)),
        "age": [] if rng.random() < 0.1 else [rng.uniform(0, 90)],
    }


@pytest.fixture(scope="module")
def catalog() -> dict[str, Row]:
    return make_catalog(random.Random(1))


@pytest.fixture(scope="module")
def requests() -> list[Row]:
    rng = random.Random(2)
    return [make_context(rng) for _ in range(40)]


class Deployed:
    """A model with random weights, some of them zero, and its signatures after export and loading."""

    def __init__(self, span: Span, config: Config, catalog: dict[str, Row], folder: Path) -> None:
        output = tft.TFTransformOutput(span.transform_output)
        prepared = prepare(config, output, [span.train_files], [span.eval_files], None)
        self.model, self.vocabularies = prepared.model, prepared.transform_state.vocabularies
        state = prepared.transform_state
        draw = np.random.default_rng(5)
        for variable in self.model.trainable_variables:
            values = draw.normal(scale=0.3, size=variable.shape)
            variable.assign(np.where(draw.random(variable.shape) < 0.3, 0, values))
        items = {app.encode(): to_example(catalog[app], without=("app",)) for app in APPS[:-2]}
        export_model(self.model, output, config, str(folder / "model"), items, prepared.counts, state, "d1")
        self.signatures = tf.saved_model.load(str(folder / "model")).signatures

    def scores(self, context: Row, items: list[Row]) -> np.ndarray:
        examples = tf.constant([to_example(context | item) for item in items])
        return np.asarray(self.signatures["serving_default"](examples=examples)["scores"])


@pytest.fixture(scope="module")
def span(catalog: dict[str, Row], tmp_path_factory: pytest.TempPathFactory) -> Span:
    rng = random.Random(3)
    rows = [make_context(rng) | catalog[rng.choice(APPS)] | {"label": [rng.randint(0, 1)]} for _ in range(400)]
    for i, row in enumerate(rows):
        row["request_id"] = [str(i)]
    return transform_span(make_config(**CONFIG), rows, rows[:10], tmp_path_factory.mktemp("span"))


@pytest.fixture(scope="module", params=["wide_and_deep", "wide", "deep"])
def deployed(request: Any, span: Span, catalog: dict[str, Row], tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    model = {"embedding_dim": 4, "hidden_units": [16, 8], "parts": request.param, "batch_norm": request.param == "deep"}
    return Deployed(span, make_config(**CONFIG, model=model), catalog, tmp_path_factory.mktemp(request.param))


def assert_ranked(outputs: dict[str, tf.Tensor], row: int, ids: list[str], scores: np.ndarray) -> None:
    """Checks that a request's outputs are these candidates with these scores, best first."""
    order = sorted(range(len(ids)), key=lambda i: -scores[i])
    found = dict(zip(outputs["item_ids"].numpy()[row].astype(str), outputs["scores"].numpy()[row], strict=True))
    np.testing.assert_allclose([found[ids[i]] for i in range(len(ids))], scores, atol=1e-5)
    np.testing.assert_allclose(outputs["scores"].numpy()[row, : len(ids)], scores[order], atol=1e-5)
    logits = outputs["wide_logits"].numpy()[row] + outputs["deep_logits"].numpy()[row]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits[: len(ids)])), scores[order], atol=1e-5)


def test_items_of_the_catalog_score_as_whole_examples(
    deployed: Deployed, catalog: dict[str, Row], requests: list[Row]
) -> None:
    known = APPS[:-2]
    rank = deployed.signatures["rank"]
    contexts = tf.constant([to_example(context) for context in requests])
    outputs = rank(context=contexts, item_ids=tf.constant([known] * len(requests)))
    for row, context in enumerate(requests):
        assert_ranked(outputs, row, known, deployed.scores(context, [catalog[app] for app in known]))


@pytest.mark.parametrize(
    ("parts", "of_context", "of_items"),
    [
        pytest.param("wide", ["deep"], ["deep"], id="a wide part of crosses alone"),
        pytest.param("wide_and_deep", [], ["wide", "deep"], id="a context that is in crosses alone"),
        pytest.param("wide_and_deep", ["wide", "deep"], ["wide"], id="a deep part of the context alone"),
    ],
)
def test_a_side_without_inputs_of_its_own_ranks(
    span: Span,
    catalog: dict[str, Row],
    requests: list[Row],
    tmp_path: Path,
    parts: str,
    of_context: list[str],
    of_items: list[str],
) -> None:
    sections = {
        "features": [f | {"parts": of_context if f["side"] == "context" else of_items} for f in CONFIG["features"]],
        "crosses": CONFIG["crosses"][:1],
        "count_encodings": [],
        "model": {"parts": parts, "embedding_dim": 4, "hidden_units": [16, 8]},
    }
    deployed = Deployed(span, make_config(**(CONFIG | sections)), catalog, tmp_path)
    test_items_of_the_catalog_score_as_whole_examples(deployed, catalog, requests)
    test_items_of_the_catalog_score_as_whole_examples(deployed, catalog, requests[:1])


def test_requests_of_different_lengths_are_filled_up(
    deployed: Deployed, catalog: dict[str, Row], requests: list[Row]
) -> None:
    ids = [["app3", "", ""], ["", "", ""], ["app5", "app1", "app9"], ["", "app2", "app0"]]
    contexts = tf.constant([to_example(context) for context in requests[:4]])
    outputs = deployed.signatures["rank"](context=contexts, item_ids=tf.constant(ids))
    for row, given in enumerate(ids):
        candidates = [app for app in given if app]
        if candidates:
            expected = deployed.scores(requests[row], [catalog[app] for app in candidates])
            assert_ranked(outputs, row, candidates, expected)
        assert outputs["item_ids"].numpy()[row, len(candidates) :].tolist() == [b""] * (3 - len(candidates))
        assert outputs["in_catalog"].numpy()[row].tolist() == [app != b"" for app in outputs["item_ids"].numpy()[row]]
        for name in ("scores", "wide_logits", "deep_logits"):
            assert not outputs[name].numpy()[row, len(candidates) :].any()


def test_each_answer_says_whose_catalog_it_is_by(deployed: Deployed, requests: list[Row]) -> None:
    contexts = tf.constant([to_example(context) for context in requests[:3]])
    ids = tf.constant([["app3", "app1"]] * 3)
    signatures = deployed.signatures
    for outputs in (
        signatures["rank"](context=contexts, item_ids=ids),
        signatures["rank_items"](context=contexts, item_ids=ids, items=tf.fill([3, 2], "")),
    ):
        assert outputs["catalog_digest"].numpy().tolist() == [b"d1"] * 3


def test_an_item_that_is_not_in_the_catalog_has_its_id_alone(deployed: Deployed, requests: list[Row]) -> None:
    ids = ["app11", "never seen", "app3", "app10"]  # app10 and app11 are in the vocabulary
    outputs = deployed.signatures["rank"](context=tf.constant([to_example(requests[0])]), item_ids=tf.constant([ids]))
    found = dict(zip(outputs["item_ids"].numpy()[0].astype(str), outputs["scores"].numpy()[0], strict=True))
    in_catalog = dict(zip(outputs["item_ids"].numpy()[0].astype(str), outputs["in_catalog"].numpy()[0], strict=True))
    assert in_catalog == {"app11": False, "never seen": False, "app3": True, "app10": False}
    unknown = ["app11", "never seen", "app10"]
    expected = deployed.scores(requests[0], [{"app": [app]} for app in unknown])
    np.testing.assert_allclose([found[app] for app in unknown], expected, atol=1e-5)


def test_given_items_go_before_the_catalog(deployed: Deployed, catalog: dict[str, Row], requests: list[Row]) -> None:
    changed: Row = {"tags": ["new", "kids"], "price": [9.5]}
    ids = ["app1", "app11", "app4"]
    items = [to_example(changed), to_example(catalog["app11"]), b""]
    outputs = deployed.signatures["rank_items"](
        context=tf.constant([to_example(requests[1])]), item_ids=tf.constant([ids]), items=tf.constant([items])
    )
    expected = deployed.scores(requests[1], [changed | {"app": ["app1"]}, catalog["app11"], catalog["app4"]])
    assert_ranked(outputs, 0, ids, expected)


def test_a_context_by_name_is_the_context_as_an_example(deployed: Deployed, requests: list[Row]) -> None:
    ids = tf.constant([APPS] * len(requests))
    longest = max(len(context["installed"]) for context in requests)
    by_name = deployed.signatures["rank_named"](
        item_ids=ids,
        country=tf.constant([(context["country"] or [""])[0] for context in requests]),
        age=tf.constant([(context["age"] or [float("nan")])[0] for context in requests]),
        installed=tf.constant([c["installed"] + [""] * (longest - len(c["installed"])) for c in requests]),
    )
    by_example = deployed.signatures["rank"](context=tf.constant([to_example(c) for c in requests]), item_ids=ids)
    for name, value in by_example.items():
        np.testing.assert_array_equal(by_name[name], value)


def test_candidates_of_the_same_score_keep_their_order(deployed: Deployed, requests: list[Row]) -> None:
    outputs = deployed.signatures["rank"](
        context=tf.constant([to_example(requests[0])]), item_ids=tf.constant([["app2", "app2", "app2"]])
    )
    assert len(set(outputs["scores"].numpy()[0])) == 1


def test_no_request_and_no_candidate_are_ranked_too(deployed: Deployed, requests: list[Row]) -> None:
    rank = deployed.signatures["rank"]
    none = rank(context=tf.constant([], tf.string), item_ids=tf.zeros([0, 3], tf.string))
    assert none["scores"].shape == (0, 3)
    empty = rank(context=tf.constant([to_example(requests[0])]), item_ids=tf.zeros([1, 0], tf.string))
    assert empty["item_ids"].shape == (1, 0)


def test_classify_and_regress_give_the_scores(deployed: Deployed, catalog: dict[str, Row], requests: list[Row]) -> None:
    examples = tf.constant([to_example(requests[0] | catalog[app]) for app in APPS[:3]])
    expected = deployed.scores(requests[0], [catalog[app] for app in APPS[:3]])
    np.testing.assert_array_equal(deployed.signatures["regress"](inputs=examples)["outputs"], expected)
    classified = deployed.signatures["classify"](inputs=examples)
    assert classified["classes"].numpy().tolist() == [[b"0", b"1"]] * 3
    np.testing.assert_allclose(classified["scores"], np.stack([1 - expected, expected], axis=1), atol=1e-7)


def test_an_explanation_adds_up_to_the_served_logit(
    deployed: Deployed, catalog: dict[str, Row], requests: list[Row]
) -> None:
    """Wide weights + deep logit + bias; each gap is reported, and within 1 % or 0.01."""
    ids, shape = APPS[:-2], (10, 10)
    contexts = tf.constant([to_example(context) for context in requests[:10]])
    ranked = deployed.signatures["rank"](context=contexts, item_ids=tf.constant([ids] * 10))
    served: dict[tuple[int, str], float] = {}
    for row in range(10):
        logits = (ranked["wide_logits"] + ranked["deep_logits"]).numpy()[row]
        served |= {
            (row, app): logit for app, logit in zip(ranked["item_ids"].numpy()[row].astype(str), logits, strict=True)
        }
    expected = np.array([[served[row, app] for app in ids] for row in range(10)])
    given = tf.constant([[to_example(catalog[app]) for app in ids]] * 10)
    whole = tf.constant([to_example(context | catalog[app]) for context in requests[:10] for app in ids])
    explain_items = deployed.signatures["explain_items"]
    for outputs in (
        deployed.signatures["explain"](examples=whole),
        explain_items(context=contexts, item_ids=tf.constant([ids] * 10), items=given),
        explain_items(context=contexts, item_ids=tf.constant([ids] * 10), items=tf.fill(shape, b"")),
    ):
        of = {name: value.numpy() for name, value in outputs.items()}
        logits = of["bias"] + of["wide_weights"].sum(axis=-1) + of["deep_logits"]
        np.testing.assert_allclose(logits.reshape(shape), expected, rtol=0, atol=1e-5)
        np.testing.assert_allclose(of["scores"], 1 / (1 + np.exp(-logits)), atol=1e-6)
        change = of["deep_logits"] - of["deep_baseline_logits"]
        np.testing.assert_allclose(change - of["deep_attributions"].sum(axis=-1), of["deep_gaps"], atol=1e-5)
        assert np.all(np.abs(of["deep_gaps"]) <= np.maximum(0.01, 0.01 * np.abs(change)))


def test_the_weights_are_named(deployed: Deployed, catalog: dict[str, Row]) -> None:
    """The country's, the installed apps', the app's, and their cross's, which has no row for some pairs."""
    context: Row = {"country": ["b"], "installed": ["app2", "unheard of", "app7"], "age": []}
    outputs = deployed.signatures["explain"](examples=tf.constant([to_example(context | catalog["app3"])]))
    terms = (outputs[name].numpy()[0] for name in ("wide_features", "wide_values", "wide_weights"))
    found = [(f.decode(), v.decode(), w) for f, v, w in zip(*terms, strict=True)]
    assert [abs(w) for *_, w in found] == sorted((abs(w) for *_, w in found), reverse=True)

    def weight(table: str, vocabulary: str, token: str) -> float:
        row_of = {known.decode(): row for row, known in enumerate(deployed.vocabularies[vocabulary])}
        if table not in deployed.model.table_weights or (token not in row_of and "_x_" in vocabulary):
            return 0.0
        return float(deployed.model.table_weights[table][row_of.get(token, len(row_of))])

    installed = context["installed"]
    expected = [("country", "b", weight("wide/country", "country", "b"))]
    expected += [("app", "app3", weight("wide/app", "app", "app3"))]
    expected += [("installed", app, weight("wide/installed", "app", app)) for app in ("app2", "app7")]
    expected += [
        ("installed × app", f"{app} × app3", weight("wide/installed_x_app", "installed_x_app", f"{app}\x1fapp3"))
        for app in installed
    ]
    of_tables = [
        (feature, value, w)
        for feature, value, w in found
        if feature in ("country", "app", "installed", "installed × app") and value != "unheard of"
    ]
    wanted = sorted(term for term in expected if term[2])
    assert [term[:2] for term in sorted(of_tables)] == [term[:2] for term in wanted]
    np.testing.assert_allclose([term[2] for term in sorted(of_tables)], [term[2] for term in wanted], rtol=1e-6)
    values = {feature: value for feature, value, _ in found}
    if "age × price" in values:
        assert values["age × price"].startswith("(missing) × ")


def test_a_call_that_explains_too_much_is_refused(deployed: Deployed) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="a call must explain at most 100 rows"):
        deployed.signatures["explain"](examples=tf.fill([101], b""))
    nothing = deployed.signatures["explain"](examples=tf.constant([], tf.string))
    assert nothing["scores"].shape == (0,)


def test_an_empty_id_is_explained_by_nothing(deployed: Deployed, requests: list[Row]) -> None:
    ids = tf.constant([["app1", ""]])
    outputs = deployed.signatures["explain_items"](
        context=tf.constant([to_example(requests[0])]), item_ids=ids, items=tf.fill([1, 2], b"")
    )
    assert outputs["scores"].numpy()[0, 0] > 0
    assert not any(
        outputs[name].numpy()[0, 1].any() for name in ("scores", "bias", "wide_weights", "deep_attributions")
    )
