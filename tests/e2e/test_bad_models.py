"""For each bad day or bad model, its gate reports it, nothing is pushed, and the served version keeps answering.

The suite has a row for each gate; `python -m tests.soak.bad_models` runs all rows of both tables. Without a run, their
rules are tested in `data_validation`, `infra_validation` and `quality_gate` of `tests/components`.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from components.model_store.versions import checksums
from pipeline.nodes.settings import RunSettings
from pipeline.runner.launch import NodeEvent
from pipeline.runner.run import run
from pipeline.workspace import Workspace, new_run_id
from tests.e2e import store
from tests.e2e.answering import Answering
from tests.e2e.bad_data import BAD_DATA, BadData
from tests.e2e.bad_models import BAD_MODELS, BadModel
from tests.e2e.bad_store import in_process
from tests.e2e.damage import Candidate
from tests.e2e.prepared_store import CONFIG, PreparedStore
from tests.soak.retrainings import retrain
from transform.config.config_file import load_config

pytestmark = pytest.mark.slow

NUM_REQUESTS = 100


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedStore:
    return PreparedStore.prepare(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def answering(prepared: PreparedStore) -> Iterator[Answering]:
    """A process that answers with the served version during all cases of the table."""
    files = sorted(map(str, prepared.workspace.glob("artifacts/example_gen/examples/*/Split-eval/*")))
    requests = itertools.islice(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator(), NUM_REQUESTS)
    thread = Answering(prepared.serving, list(requests))
    thread.start()
    thread.load_again()
    yield thread
    thread.end()


@pytest.fixture
def guarded(prepared: PreparedStore, answering: Answering) -> Iterator[PreparedStore]:
    """The store as prepared; afterwards, the served version must be unchanged and must have answered throughout."""
    prepared.put_back()
    before, looks = served_files(prepared), answering.looks
    yield prepared
    after = served_files(prepared)
    if after != before:  # so that a failing case does not make all later ones fail
        prepared.put_back(with_serving=True)
    answering.load_again()
    problems = answering.problems.copy()
    answering.problems.clear()
    assert after == before
    assert problems == []
    assert answering.looks >= looks + 2


def served_files(prepared: PreparedStore) -> dict[str, str]:
    """The checksum of each file below the serving folder, by relative path; including the manifest."""
    return checksums(str(prepared.serving.parent))


def refused_by(prepared: PreparedStore) -> str:
    """The gate that refused the last run's model."""
    if store.last_report(prepared.workspace)["infra"]["problems"]:
        return "infra_validation"
    blessings = prepared.workspace / "artifacts" / "quality_gate" / "blessing"
    blessing = max(blessings.iterdir(), key=lambda path: int(path.name))
    return "quality_gate" if (blessing / "NOT_BLESSED").exists() else "push"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrizes the tests with the table's rows that are in the suite, or with `--all-rows` with all of them."""
    if "row" in metafunc.fixturenames:
        table: list[Any] = BAD_DATA if metafunc.function is test_a_bad_day_is_stopped_by_its_gate else BAD_MODELS
        rows = [row for row in table if row.in_suite or metafunc.config.getoption("--all-rows", default=False)]
        metafunc.parametrize("row", rows, ids=[row.kind for row in rows])


def test_the_table_has_every_kind_once() -> None:
    kinds = [day.kind for day in BAD_DATA] + [model.kind for model in BAD_MODELS]
    assert len(set(kinds)) == len(kinds) >= 25


def test_a_bad_day_is_stopped_by_its_gate(guarded: PreparedStore, row: BadData) -> None:
    row.breaks(guarded)
    done = in_process(*store.run_arguments(guarded.data, guarded.workspace, 2, CONFIG))
    started = [line.removesuffix(" …") for line in done.stdout.splitlines() if line.endswith(" …")]
    if row.gate == "quality_gate":
        assert (done.returncode, done.stderr) == (0, "")
        (reported,) = [line for line in done.stdout.splitlines() if line.startswith("pushed ")]
        assert refused_by(guarded) == row.gate
    else:
        reported = done.stderr
        assert (done.returncode, reported.count("\n")) == (1, 1)
        assert started[-1:] == ([row.gate] if row.gate else [])
    assert row.says in reported


def test_a_bad_model_is_refused_by_its_gate(
    guarded: PreparedStore, row: BadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, candidate = load_config(str(CONFIG)), Candidate(guarded.workspace)
    if row.patches is not None:  # another seed, so that the model is retrained and exported instead of cached
        config = dataclasses.replace(config, training=dataclasses.replace(config.training, seed=2))
        row.patches(monkeypatch, candidate.first_transform_graph)

    def damage(event: NodeEvent) -> None:
        if event.node_id == row.after and event.state != "running":
            row.damages(candidate)

    settings = RunSettings(str(guarded.data), Workspace.at(guarded.workspace), 2)
    outcome = run(config, settings, new_run_id(), damage)
    assert outcome.version is None
    for start in row.says:
        assert any(sentence.startswith(start) for sentence in outcome.refusals), outcome.refusals
    assert refused_by(guarded) == row.gate


def test_a_good_model_that_was_trained_with_another_seed_is_pushed(prepared: PreparedStore, tmp_path: Path) -> None:
    """The short form of `python -m tests.soak.retrainings`."""
    assert retrain(prepared, 2, tmp_path).refusals == ()
