"""Measurements of a span's examples, compared with hand-computed values."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from components.data_validation.columns import Columns, Tokens, read_numbers, read_tokens
from components.data_validation.evidence import Labelled
from components.data_validation.label_aucs import label_aucs
from components.data_validation.measuring import ids, label_recipe, measure, of_calendar, with_overlaps
from components.ingestion.evidence import Evidence, LabelCount, Log, TableEvidence
from tests.components.data_validation.store_config import CONFIG
from tests.transform.small_config import small_config
from transform.config.config import Config
from transform.config.config_file import parse_config
from transform.derived_times import Derive, TimePart


@pytest.fixture(scope="module")
def config() -> Config:
    return parse_config(CONFIG, "store.yaml")


def columns() -> Columns:
    """Returns two requests, with two and three impressions."""
    return Columns(
        label=np.array([0, 1, 0, 0, 1]),
        request=np.array([0, 0, 1, 1, 1]),
        tokens={
            "country": read_tokens(pa.array(["de", "de", "fr", "fr", "fr"])),
            "installed": read_tokens(pa.array([["a", "b"], ["a", "b"], None, ["c"], ["c"]])),
            "app_id": read_tokens(pa.array(["b", "c", "a", "c", None])),
        },
        numbers={"price": read_numbers(pa.array([1.0, 2.0, None, 2.0, 5.0]))},
    )


def test_arrow_columns_become_codes() -> None:
    found = read_tokens(pa.chunked_array([pa.array([["x", "y"], None]), pa.array([["y"], []])]))
    assert [found.values[code] for code in found.codes] == ["x", "y", "y"]
    assert (found.rows.tolist(), found.num_rows, found.num_missing) == ([0, 0, 2], 4, 2)
    assert [found.values[c] if c >= 0 else None for c in found.of_rows()] == ["x", None, "y", None]
    assert read_tokens(pa.array([b"\xc3\xa9", b"e"], pa.binary())).values == ["é", "e"]
    assert read_tokens(pa.array([3, 5])).values == ["3", "5"]
    np.testing.assert_equal(read_numbers(pa.array([[1.5], None, [2.0]])), [1.5, np.nan, 2.0])


def test_a_span_is_measured(config: Config) -> None:
    ingested = Evidence(span=3, labels=LabelCount(3, 2))
    found = measure(columns(), np.array([0.1, 0.5, np.nan, 0.2, 0.1]), ingested, config)
    assert (found.span, found.num_requests, found.whole.positives, found.ids) == (3, 2, 2, ("app_id",))
    assert found.measured == found.sample == Labelled(5, 2)
    assert found.features["country"].top == {"fr": 3, "de": 2}
    assert (found.features["country"].num_draws, found.features["price"].num_draws) == (2, 5)
    assert (found.features["installed"].num_values, found.features["installed"].num_missing) == (7, 1)
    # `b` is in (a, b), and `c` in (c); `c` is not in (a, b), and the others have no list or no app.
    assert found.features["app_id in installed"].top == {"no": 3, "yes": 2}
    assert (found.slices["country = fr"].rows, found.slices["country = fr"].positives) == (3, 1)
    assert found.model is not None
    assert found.model.whole.predicted == pytest.approx(0.9)
    # The positives have 0.5 and 0.1, the negatives 0.1 and 0.2: (1 + 1 + 0.5 + 0) / 4.
    assert found.model.auc == pytest.approx(0.625)
    assert measure(columns(), None, ingested, config).model is None


def of_countries(counts: dict[str, int]) -> Columns:
    values = [value for value, number in counts.items() for _ in range(number)]
    label = np.arange(len(values)) % 2
    tokens = {
        "country": read_tokens(pa.array(values)),
        "installed": read_tokens(pa.array([["a"]] * len(values))),
        "app_id": read_tokens(pa.array(["a"] * len(values))),
    }
    return Columns(label, np.arange(len(values)), tokens, {"price": np.ones(len(values))})


def test_the_most_frequent_values_have_slices_if_they_are_nearly_all(config: Config) -> None:
    def slices(counts: dict[str, int]) -> list[str]:
        found = measure(of_countries(counts), None, Evidence(span=3), config).slices
        return sorted(name for name in found if name.startswith("country"))

    thirty = {f"c{number:02d}": 10 for number in range(30)}
    names = [f"country = {value}" for value in thirty]
    assert slices(thirty) == names
    assert slices({"b": 1, "a": 1, **thirty}) == names  # 300 of 302
    assert slices({"rare": 4, **thirty}) == []  # 300 of 304 are 98.7 %
    equal = {f"d{number:02d}": 1 for number in reversed(range(30))} | {"d31": 1} | {"most": 5000}
    assert slices(equal) == [*(f"country = d{number:02d}" for number in range(29)), "country = most"]


def test_a_record_has_smaller_sketches_of_the_same_rows_and_keys(config: Config) -> None:
    ingested = Evidence(
        span=3,
        logs={"impressions": Log(sketch=tuple(range(2000)))},
        tables={"apps": TableEvidence(5, 0, ("price",), dict.fromkeys(reversed(range(400)), (1.0,)))},
    )
    found = measure(columns(), None, ingested, config).ingested
    assert found.logs["impressions"].sketch == tuple(range(500))
    assert sorted(found.tables["apps"].keys) == list(range(200))


def test_a_feature_that_is_the_label_tells_it_and_one_of_ids_tells_nothing() -> None:
    rng = np.random.default_rng(1)
    label = (rng.random(2000) < 0.1).astype(np.int64)
    codes = {"label": label, "noise": rng.integers(0, 3, 2000), "id": np.arange(2000)}
    tokens = {name: Tokens([str(i) for i in range(2000)], c, np.arange(2000), 2000) for name, c in codes.items()}
    numbers = {"leak": np.where(label == 1, 300.0, rng.exponential(10, 2000)), "none": rng.random(2000)}
    found = label_aucs(Columns(label, np.arange(2000) // 10, tokens, numbers))
    assert found["label"] == 1
    assert found["leak"] > 0.95
    assert found["id"] == 0.5  # no id of one half is in the other
    assert all(abs(found[name] - 0.5) < 0.06 for name in ("noise", "none"))


def test_a_list_and_a_value_of_other_vocabularies_have_no_overlap(config: Config) -> None:
    own = dataclasses.replace(config.spec.by_name["installed"], vocabulary=config.spec.by_name["app_id"].vocabulary)
    spec = dataclasses.replace(
        config.spec, features=tuple(own if f.name == "installed" else f for f in config.spec.features)
    )
    assert set(with_overlaps(columns(), spec).tokens) == set(columns().tokens)


@pytest.mark.parametrize("part", ["year", "month", "day", "weekday", "hour"])
def test_parts_of_dates_are_of_the_calendar(config: Config, part: TimePart) -> None:
    derived = dataclasses.replace(config.spec.by_name["country"], derive=Derive(part=part, format="iso"))
    features = tuple(derived if f.name == "country" else f for f in config.spec.features)
    changed = dataclasses.replace(config, spec=dataclasses.replace(config.spec, features=features))
    found = measure(columns(), None, Evidence(span=3, labels=LabelCount(3, 2)), changed)
    assert found.of_calendar == (("country",) if part in ("year", "month", "day") else ())


def test_a_date_of_a_table_is_not_of_the_calendar() -> None:
    """The day's rows do not change it: a release date of all items that is 1970 of a sudden is a fault."""
    config = small_config(
        (
            "features.3",
            {
                "name": "released", "side": "item", "kind": "categorical", "source": "catalog", "vocabulary": {},
                "derive": {"part": "year", "format": "iso"},
            },
        )
    )  # fmt: skip
    assert of_calendar(config) == ()


def test_a_part_of_a_time_by_which_a_table_is_joined_is_no_id() -> None:
    joined = {"side": "context", "kind": "categorical", "column": "app", "vocabulary": {}}
    derive = {"part": "year", "format": "iso"}
    config = small_config(
        ("features.3", joined | {"name": "text"}), ("features.4", joined | {"name": "year", "derive": derive})
    )
    assert ids(config) == ("app", "text")


def test_the_recipe_is_of_what_makes_the_label_and_of_nothing_else(config: Config) -> None:
    def with_installs(**changes: object) -> Config:
        installs = {**CONFIG["sources"]["installs"], **changes}  # type: ignore[index]
        return parse_config({**CONFIG, "sources": {**CONFIG["sources"], "installs": installs}}, "x")  # type: ignore[dict-item]

    same = label_recipe(config)
    assert label_recipe(with_installs(path="elsewhere.jsonl", format="jsonl")) == same
    assert label_recipe(with_installs(attribution_seconds=300)) != same
    assert label_recipe(with_installs(timestamp="when")) != same
    assert label_recipe(with_installs(late_labels=True)) == same  # of other examples than the span's own
    assert ids(config) == ("app_id",)


def test_the_recipe_of_a_config_is_the_first_release_s(config: Config) -> None:
    """Another value would compare the next span's labels with no earlier span's."""
    assert label_recipe(config) == "d4d800f2f7f4dca1"
