"""The first config of a log of served rankings: it is valid, and ingestion reads the export by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.initial_config.config_text import initial_config
from tests.components.ingestion.ingested import ingest
from tests.components.ingestion.served_logs import DATE, candidate, event, write_export
from transform.config.config_file import load_config
from transform.errors import InputError


def exported(data: Path) -> Path:
    """Writes an export of 40 requests in 4.4 hours, of two items each; every fourth has an install."""
    impressions, events = [], []
    for number in range(40):
        request = f"r{number}"
        for rank, item in enumerate(("x", "y"), 1):
            price = {"item.price": 0.5 + number + rank}
            impressions.append(candidate(request, item, 400 * number, rank, **{"context.page": "top", **price}))
            events.append(event(request, item, "shown", 400 * number + 1, position=float(rank)))
        if number % 4 == 0:
            events.append(event(request, "y", "install", 400 * number + 2))
    write_export(data, impressions, events)
    return data / "served" / DATE / "impressions-00-a.parquet"


def test_the_config_of_an_export_is_valid_and_its_day_can_be_ingested(tmp_path: Path) -> None:
    found = initial_config(exported(tmp_path), None, 1000, tmp_path / "ranking.yaml")
    assert found.data_root == tmp_path
    assert found.label == "made from the log's events of the type install"
    (tmp_path / "ranking.yaml").write_text(found.text)
    config = load_config(tmp_path / "ranking.yaml")
    assert {feature.name: feature.side for feature in config.spec.features} == {
        "item": "item",
        "owned": "context",
        "price": "item",
    }
    assert config.item_id is not None
    assert config.item_id.name == "item"
    assert 'context.page": ' in found.text  # one value in all rows
    ingested = ingest(config, tmp_path, tmp_path / "out")
    assert sum(ingested.counts.num_examples.values()) + ingested.counts.unknown_labels == 80
    (row, *_) = [row for split in ingested.examples.values() for row in split if row["label"] == [1]]
    assert row["item"] == ["y"]
    assert row["price"][0] % 1 == 0.5


@pytest.mark.parametrize(("file", "label"), [("impressions", "score"), ("events", None)])
def test_what_an_export_cannot_be_asked_for(file: str, label: str | None, tmp_path: Path) -> None:
    path = exported(tmp_path).with_name(f"{file}-00-a.parquet")
    rule = "the events make the label" if label else "the first config needs a file of impressions"
    with pytest.raises(InputError, match=rule):
        initial_config(path, label, 1000, tmp_path / "ranking.yaml")
