"""Spans that are ingested one after the other, by TFX's launcher: each completes the tail of the one before."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import COMPLETED_BY, TAIL_OF
from components.late_labels.counts import LateCounts, read_label_counts
from pipeline.compile.compiled import RunEnvironment, write_compiled
from pipeline.create import create_pipeline
from pipeline.metadata.store import open_store
from pipeline.nodes.settings import RunSettings
from pipeline.runner.launch import compile_pipeline, run_nodes
from pipeline.runner.run_node import run_node
from pipeline.runner.window import ingested_files
from pipeline.workspace import Workspace
from tests.components.ingestion.logs import CATALOG, USERS, write_rows
from tests.components.late_labels.two_days import ENDS, WINDOW, config_of, random_day
from transform.config.config import Config

pytestmark = pytest.mark.slow


def with_spans(config: Config, window_spans: int) -> Config:
    """Returns the config with a folder for each span of each source, and a window of some spans."""

    def placed(source: Any, name: str) -> Any:
        return dataclasses.replace(source, path=f"{name}/{{SPAN}}/*.jsonl")

    sources = config.sources
    tables = {name: placed(table, name) for name, table in sources.tables.items()}
    found = dataclasses.replace(
        sources,
        impressions=placed(sources.impressions, "impressions"),
        installs=placed(sources.installs, "installs"),
        tables=tables,
    )
    ingestion = dataclasses.replace(config.ingestion, window_spans=window_spans)
    return dataclasses.replace(config, sources=found, ingestion=ingestion)


class Store:
    """The logs of two days and a workspace."""

    def __init__(self, folder: Path, window_spans: int = 2) -> None:
        self.data, self.config = folder / "data", with_spans(config_of(), window_spans)
        self.workspace = Workspace.at(folder / "workspace")
        self._runs = iter(range(100))
        for number in (0, 1):
            self.write(number, seed=1)

    def write(self, number: int, seed: int) -> None:
        day = random_day(number, seed)
        sources = {"impressions": day.impressions, "installs": day.installs, "catalog": CATALOG[:3], "users": USERS}
        for name, rows in sources.items():
            folder = self.data / name / str(number)
            folder.mkdir(parents=True, exist_ok=True)
            write_rows(folder / "part-0.jsonl", "jsonl", rows)

    def ingest(self, span: int) -> dict[str, str]:
        """Ingests a span as an earlier span of a window; returns how each node ended."""
        settings = RunSettings(str(self.data), self.workspace, span)
        ir = compile_pipeline(create_pipeline(self.config, settings, only_ingest=True), f"run-{next(self._runs)}")
        events = list(run_nodes(ir, self.workspace.metadata_connection()))
        return {event.node_id: event.state for event in events}

    def tails(self) -> Iterator[tuple[int, int, LateCounts]]:
        """Yields of each completed tail the ids of the Examples that have it and that completed it, and its counts."""
        for artifact in open_store(self.workspace.metadata_connection()).get_artifacts_by_type("Examples"):
            properties = artifact.custom_properties
            if COMPLETED_BY in properties:
                yield properties[TAIL_OF].int_value, properties[COMPLETED_BY].int_value, read_label_counts(properties)

    def examples(self, span: int) -> list[int]:
        """Returns the ids of a span's own Examples, in the order of their ingestions."""
        found = open_store(self.workspace.metadata_connection()).get_artifacts_by_type("Examples")
        own = [a for a in found if COMPLETED_BY not in a.custom_properties]
        return sorted(a.id for a in own if a.custom_properties["span"].int_value == span)


def test_each_span_completes_the_tail_of_the_one_before_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    nodes = ("example_gen", "preceding_span", "late_labels")
    assert store.ingest(0) == store.ingest(1) == dict.fromkeys(nodes, "done")
    none, tail = store.tails()
    assert none == (0, store.examples(0)[0], LateCounts(span=-1, not_ingested=1))
    waiting = sum(row["time"] + WINDOW > ENDS[0] for row in random_day(0, 1).impressions)
    assert tail[:2] == (store.examples(0)[0], store.examples(1)[0])
    assert (tail[2].span, tail[2].waiting, tail[2].completed) == (0, waiting, waiting)

    # Nothing changes if nothing has changed: a resolver runs each time.
    again = {"example_gen": "cached", "preceding_span": "done", "late_labels": "cached"}
    assert store.ingest(0) == store.ingest(1) == again
    assert list(store.tails()) == [none, tail]

    # With other rows of the first day, the second day is not ingested again, and the tail is completed again.
    store.write(0, seed=2)
    assert store.ingest(0) == dict.fromkeys(nodes, "done")
    assert store.ingest(1) == again | {"late_labels": "done"}
    newest = list(store.tails())[-1]
    assert newest[:2] == (store.examples(0)[1], store.examples(1)[0])
    assert newest[2].waiting == sum(row["time"] + WINDOW > ENDS[0] for row in random_day(0, 2).impressions)


def test_impressions_that_are_gone_from_a_tail_are_counted(tmp_path: Path) -> None:
    """Without its files, a tail looks like that of a span that left no impression out."""
    store = Store(tmp_path)
    store.ingest(0)
    (opened,) = tmp_path.rglob("tail/open")
    for path in opened.iterdir():
        path.unlink()
    store.ingest(1)
    *_, (_, _, counts) = store.tails()
    written = sum(row["time"] + WINDOW > ENDS[0] for row in random_day(0, 1).impressions)
    assert counts == LateCounts(span=0, lost=written)
    assert written > 0


def test_the_files_of_a_span_s_last_ingestion_are_known(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.ingest(0)
    connection, name = store.workspace.metadata_connection(), store.config.name
    names = ("catalog", "impressions", "installs", "users")
    assert ingested_files(connection, name, 0) == {str(store.data / each / "0" / "part-0.jsonl") for each in names}
    assert ingested_files(connection, name, 1) == ingested_files(connection, "another", 0) == frozenset()


@pytest.mark.parametrize("window_spans", [1, 2])
def test_a_scheduler_s_nodes_do_the_same(tmp_path: Path, window_spans: int) -> None:
    """The first node ingests the span before, too, as after an upgrade, whether the window has it or only its tail."""
    store, compiled = Store(tmp_path, window_spans), tmp_path / "compiled"
    write_compiled(store.config, compiled)
    environment = RunEnvironment(str(store.data), store.workspace)
    for node in ("example_gen", "preceding_span", "late_labels"):
        assert run_node(compiled, environment, node, 1, "night").event.state == "done"
    none, tail = store.tails()
    assert none == (0, store.examples(0)[0], LateCounts(span=-1, not_ingested=1))
    assert tail[:2] == (store.examples(0)[0], store.examples(1)[0])
    assert tail[2].completed == tail[2].waiting > 0
