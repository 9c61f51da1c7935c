"""The same raw text has the same score in a log's row and in a request: white space, and texts for "no value"."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from components.ingestion.formats.raw_rows import RowError
from pipeline.batch_scoring.raw_rows import ExampleMaker
from tests.components.ingestion.raw_rows import block_of_row
from tests.trainer.small_deployment import Row, make_config, to_example, transform_span
from trainer.signatures import export_model
from trainer.transform_output.state import read_transform_state
from trainer.wide_deep.model import WideDeep

pytestmark = pytest.mark.slow  # a model is trained and exported

APPS = [f"app{i}" for i in range(6)]
CONTEXT = ("country", "motto", "installed", "age", "time")
ITEM = ("app", "tags", "price", "released")
CONFIG = make_config(
    sources={
        "impressions": {
            "path": "a.csv",
            "format": "csv",
            "label": "y",
            "request_id": "r",
            "null_values": ["", "?", " unknown", "-1"],
        },
        "tables": {
            "catalog": {"path": "c.csv", "format": "csv", "key": "app", "broadcast": True, "null_values": ["n/a"]}
        },
    },
    features=[
        {"name": "country", "side": "context", "kind": "categorical", "vocabulary": {"num_oov_buckets": 7}},
        {
            "name": "motto",
            "side": "context",
            "kind": "categorical",
            "vocabulary": {"num_oov_buckets": 7},
            "trim": False,
        },
        {"name": "installed", "side": "context", "kind": "categorical_list", "vocabulary": "app"},
        {"name": "age", "side": "context", "kind": "numeric", "num_quantiles": 5},
        {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {"num_oov_buckets": 7}},
        {"name": "tags", "side": "item", "kind": "categorical_list", "source": "catalog", "vocabulary": {}},
        {"name": "price", "side": "item", "kind": "numeric", "source": "catalog", "num_quantiles": 4},
        {
            "name": "time",
            "side": "context",
            "kind": "categorical",
            "derive": {"part": "hour", "format": "iso", "time_zone": "Europe/Berlin"},
            "vocabulary": {},
        },
        {
            "name": "released",
            "side": "item",
            "kind": "categorical",
            "source": "catalog",
            "derive": {"part": "year", "format": "day_month_year"},
            "vocabulary": {},
        },
    ],
    crosses=[
        {"features": ["installed", "app"], "min_count": 1},
        {"features": ["country", "tags"], "num_hash_buckets": 50},
        {"features": ["country", "installed"], "min_count": 1},
        {"features": ["age", "app", "country"], "num_hash_buckets": 25},
        {"features": ["time", "released"], "min_count": 1},
        {"features": ["time", "tags"], "num_hash_buckets": 40},
    ],
)

#: Unusual texts of each column, and the text that each must be equivalent to; None means no value.
ODD: dict[str, dict[str, str | None]] = {
    "country": {
        " us": "us", "us\t ": "us", "\n\v us\f\r": "us", "?": None, " ? ": None, "unknown": None, "unknown ": None,
        "": None, "  ": None, "-1": None, "n/a": "n/a", "\u00a0us": "\u00a0us", "u s": "u s", "US": "US",
    },
    "motto": {" go": " go", "go": "go", "?": None, " ?": " ?", " unknown": None, "unknown": "unknown", "": None},
    "installed": {
        "app1 | app2": "app1|app2", " app1|?| unknown |app2 ": "app1|app2", "|app1||": "app1", " ? ": None, "": None,
        "app1|app1 ": "app1|app1", "-1|app3": "app3",
    },
    "age": {" 41": "41", "41.0 ": "41", "-1": None, " -1.0": None, "?": None, "": None, "nan": None, "-1.5": "-1.5"},
    "app": {" app1": "app1", "app1\t": "app1", "?": None, "unknown": None, "app99 ": "app99"},
    "tags": {"game | free": "game|free", " n/a ": None, "game|n/a": "game", "?": "?", "": None},
    "price": {" 2.5 ": "2.5", "n/a": None, " n/a": None, "-1": "-1"},
    "time": {
        " 2026-11-28T11:59:59.9Z ": "2026-11-28T12:00", "2026-07-28 10:00+00": "2026-11-28T12:00", "?": None,
        "2026-11-28 23:00:00Z": "2026-11-28T00:00",
    },
    "released": {" 31-Dec-1995": "01-Jan-1995", "01-Jan-1996\t": "29-Feb-1996", "n/a": None, "": None},
}  # fmt: skip
CASES = [(column, odd, same) for column, texts in ODD.items() for odd, same in texts.items()]
PLAIN = {
    "country": "us", "motto": "go", "installed": "app1|app4", "age": "30", "app": "app1", "tags": "free",
    "price": "2.5", "time": "2026-11-28T12:30", "released": "15-Mar-1995",
}  # fmt: skip


def as_request(row: dict[str, str]) -> Row:
    """The features of a row as a client sends them: texts unchanged, lists split, numbers parsed."""
    request: Row = {name: [row[name]] for name in ("country", "motto", "app", "time", "released")}
    request |= {name: row[name].split("|") for name in ("installed", "tags")}
    for name in ("age", "price"):
        try:
            request[name] = [float(row[name])]
        except ValueError:  # a request cannot send a text as a number
            request[name] = []
    return request


class Deployed:
    """An exported model with random weights, and the maker of examples from raw rows."""

    def __init__(self, folder: Path) -> None:
        rng = random.Random(3)
        rows: list[Row] = [
            {
                "country": [rng.choice(["us", "de", "n/a"])],
                "motto": [rng.choice(["go", " go", " ?", "unknown"])],
                "installed": rng.sample(APPS, 2),
                "age": [] if rng.random() < 0.2 else [rng.uniform(-2, 60)],
                "app": [rng.choice(APPS)] if i % 9 else ["?"],
                "tags": rng.sample(["game", "free", "?"], rng.randint(0, 2)),
                "price": [] if rng.random() < 0.2 else [rng.uniform(-2, 5)],
                "time": [f"2026-11-28T{rng.choice([0, 12, 13]):02d}:30" if rng.random() < 0.9 else "noon"],
                "released": [f"01-Jan-{rng.choice([1995, 1996])}"],
                "label": [rng.randint(0, 1)],
                "request_id": [str(i)],
            }
            for i in range(300)
        ]
        span = transform_span(CONFIG, rows, rows[:10], folder / "span")
        output = tft.TFTransformOutput(span.transform_output)
        self.vocabulary = output.vocabulary_by_name("country_vocabulary")
        model = WideDeep(CONFIG.spec, CONFIG.model, read_transform_state(output, CONFIG.spec).vocabulary_sizes, seed=4)
        draw = np.random.default_rng(5)
        for variable in model.trainable_variables:
            variable.assign(draw.normal(scale=0.5, size=variable.shape))
        item: Row = {"tags": ["free"], "price": [2.5], "released": ["15-Mar-1995"]}
        self.catalog: dict[str, Row] = dict.fromkeys(APPS, item)
        items = {app.encode(): to_example(item) for app in self.catalog}
        export_model(model, output, CONFIG, str(folder / "model"), items)
        self.signatures = tf.saved_model.load(str(folder / "model")).signatures
        self.maker = ExampleMaker(CONFIG, {}, [*CONTEXT, *ITEM])

    def of_log(self, row: dict[str, str]) -> float:
        """The score of a row as ingestion reads it."""
        (example,) = self.maker.examples(block_of_row(row))
        if isinstance(example, RowError):
            raise example
        return float(self.signatures["serving_default"](examples=tf.constant([example]))["scores"][0])

    def of_request(self, row: dict[str, str]) -> float:
        """The score of the row sent as a request to `serving_default`."""
        example = to_example(as_request(row))
        return float(self.signatures["serving_default"](examples=tf.constant([example]))["scores"][0])

    def ranked(self, row: dict[str, str]) -> dict[str, float]:
        """A request's score by each ranking signature; `rank` only if the catalog's item equals the row's."""
        raw = as_request(row)
        inputs: dict[str, Any] = {
            "context": tf.constant([to_example({name: raw[name] for name in CONTEXT})]),
            "item_ids": tf.constant([[row["app"]]]),
        }
        item = {name: raw[name] for name in ITEM if name != "app"}
        items = tf.constant([[to_example(item)]])
        scores = {"rank_items": self.signatures["rank_items"](**inputs, items=items)}
        if self.catalog.get(row["app"].strip()) == item:
            scores["rank"] = self.signatures["rank"](**inputs)
            named = {
                name: tf.constant([raw[name]] if name == "installed" else raw[name] or [float("nan")])
                for name in CONTEXT
            }
            scores["rank_named"] = self.signatures["rank_named"](item_ids=inputs["item_ids"], **named)
        assert all(found["item_ids"].numpy().tolist() == [[row["app"].encode()]] for found in scores.values())
        return {name: float(found["scores"][0, 0]) for name, found in scores.items()}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    return Deployed(tmp_path_factory.mktemp("deployed"))


@pytest.mark.parametrize(("column", "odd", "same"), CASES)
def test_an_odd_text_scores_as_what_it_means(deployed: Deployed, column: str, odd: str, same: str | None) -> None:
    row = PLAIN | {column: odd}
    expected = deployed.of_log(PLAIN | {column: same or ""})
    assert deployed.of_log(row) == pytest.approx(expected, abs=1e-6)
    assert deployed.of_request(row) == pytest.approx(expected, abs=1e-6)
    if row["app"].strip():
        for name, score in deployed.ranked(row).items():
            assert score == pytest.approx(expected, abs=1e-6), name


def test_texts_that_differ_have_other_scores(deployed: Deployed) -> None:
    # Ensures that the test above can fail: each distinct value changes the score.
    for column, texts in ODD.items():
        scores = {same: deployed.of_log(PLAIN | {column: same or ""}) for same in set(texts.values())}
        values = sorted(scores.values())
        distinct = [a for a, b in itertools.pairwise(values) if b - a > 1e-5]
        assert len(distinct) >= len(values) - 2, (column, scores)  # two unknown values may share an oov bucket


def test_a_text_that_is_no_time_is_rejected_in_a_log_and_no_value_in_a_request(deployed: Deployed) -> None:
    for column, texts in {"time": ("2026-11-28", "2026-11-28T24:00", "noon"), "released": ("31-Apr-1995",)}.items():
        expected = deployed.of_request(PLAIN | {column: ""})
        for text in texts:
            scores = deployed.ranked(PLAIN | {column: text}) | {"": deployed.of_request(PLAIN | {column: text})}
            assert list(scores.values()) == pytest.approx([expected] * len(scores), abs=1e-6), text
            with pytest.raises(RowError, match=rf"^`{column}` must be an? .*\. Received: '{text}'$"):
                deployed.of_log(PLAIN | {column: text})


def test_null_words_have_no_place_in_a_vocabulary(deployed: Deployed) -> None:
    assert set(deployed.vocabulary) - {b"<missing>"} == {b"us", b"de", b"n/a"}
