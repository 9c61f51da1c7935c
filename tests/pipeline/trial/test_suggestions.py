"""What `wdr try --suggest` tries, by config."""

from __future__ import annotations

from typing import Any

from pipeline.trial.suggestions import suggestions
from transform.config.config import Config
from transform.config.config_file import parse_config
from transform.config.effective import effective

PERSON = {"name": "person", "side": "context", "kind": "categorical", "vocabulary": {}}
CITY = {"name": "city", "side": "context", "kind": "categorical", "vocabulary": {}}
JOB = {"name": "job", "side": "context", "kind": "categorical", "vocabulary": {}}
FILM = {"name": "film", "side": "item", "kind": "categorical", "vocabulary": {}}
AGE = {"name": "age", "side": "context", "kind": "numeric", "num_quantiles": 10}


def config_of(*features: dict[str, Any], user: str | None = None, **sections: Any) -> Config:
    source = {"path": "a.csv", "format": "csv", "label": "y"}
    evaluation = {"thresholds": {"auc": {"min": 0.5}}, "user": user}
    plain = {
        "name": "a",
        "sources": {"impressions": source},
        "features": list(features),
        "ingestion": {"split_by": "row_hash"},
        "evaluation": evaluation,
    }
    return parse_config(plain | sections, "a.yaml")


def words(config: Config) -> list[str]:
    return [suggestion.words for suggestion in suggestions(config)]


def test_ids_are_counted_and_their_embeddings_made_smaller() -> None:
    config = config_of(PERSON, FILM, user="person")
    counted, smaller, wide = suggestions(config)
    assert counted.words == "count_encodings: [{features: [person]}, {features: [film]}]"
    assert [count.features for count in counted.config.spec.count_encodings] == [("person",), ("film",)]
    assert smaller.words == "model: {embedding_dim: 8, dropout: 0.5}"
    assert (smaller.config.model.embedding_dim, smaller.config.model.dropout) == (8, 0.5)
    assert wide.words == "model: {parts: wide}"
    assert wide.config.model.parts == "wide"


def test_an_effective_config_has_the_same_suggestions() -> None:
    """A run has its config in the effective form, which names the held-out share; `wdr try` reads the file."""
    config = config_of(PERSON, FILM, AGE, user="person")
    assert words(effective(config)) == words(config)


def test_of_a_table_categories_are_crossed_and_numbers_not_rounded() -> None:
    config = config_of(CITY, JOB, AGE)
    crossed, scaled, _ = suggestions(config)
    assert crossed.words == "crosses of [city, job], each with min_count: 10"
    assert [(cross.features, cross.min_count) for cross in crossed.config.spec.crosses] == [(("city", "job"), 10)]
    assert scaled.words == "scale: log of age"
    assert [f.scale for f in scaled.config.spec.features] == ["quantile", "quantile", "log"]


def test_the_item_is_crossed_with_the_context_but_the_user() -> None:
    assert words(config_of(PERSON, CITY, FILM, AGE, user="person"))[1:] == [
        "crosses of [city, film], each with min_count: 10",
        "scale: log of age",
    ]


def test_what_the_config_has_is_not_suggested() -> None:
    config = config_of(
        PERSON, CITY, FILM, AGE | {"scale": "standard"},
        user="person",
        crosses=[{"features": ["city", "film"], "min_count": 2}],
        count_encodings=[{"features": ["film"]}],
        model={"embedding_dim": 4, "dropout": 0.6},
    )  # fmt: skip
    assert words(config) == ["count_encodings: [{features: [person]}]", "model: {parts: wide}"]


def test_one_part_alone_gets_the_other_first() -> None:
    assert words(config_of(PERSON, FILM, user="person", model={"parts": "deep"}))[0] == "model: {parts: wide_and_deep}"
