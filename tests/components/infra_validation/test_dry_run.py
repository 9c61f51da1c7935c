"""Exported models in dry runs: the good one is blessed, each bad one is refused with its own sentence."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from components.infra_validation.requests import raw_requests
from tests.components.infra_validation.validating import examples_artifact, on_threads, validate
from tests.components.saved_models import example, export, write_good_scores
from transform.config.infra_validation import InfraValidation

pytestmark = pytest.mark.slow

Verdict = dict[str, Any]

#: No latency is refused: on a busy machine, good models also exceed any bound.
SETTINGS = InfraValidation(num_requests=5, num_measurements=10, max_latency_ms=None)
#: Why each kind of model is refused. (`tests/serving/dry_run` tests more defects, without processes, such as
#: signatures that are not there.)
PROBLEMS = {
    "nan weight": "every score must be finite. Received: 5 of 5 that are not; nor are values of its variables weight",
    "hidden nan": "every value of the model's variables must be finite. Received: others in hidden",
    "constant": "scores must differ between requests. Received: 0.5 for all 5",
    "truncated": "the model's variables must be readable. Received: ",
    "aborts": "the model must score requests; its process was killed by SIGABRT: ",
}

#: The kinds whose scores or files are bad, but not their processes.
ON_THREADS = frozenset({"nan weight", "hidden nan", "constant", "truncated"})


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    """The verdicts by kind of model, and on models with a baseline that cannot be loaded, or that hangs."""
    folder = tmp_path_factory.mktemp("models")
    window = [examples_artifact(folder / "examples", train=[], eval=[example(x, label=x % 2) for x in range(8)])]
    models = {kind: export(kind, folder / kind) for kind in ("good", "hangs", *PROBLEMS)}
    for folder_of in models.values():
        write_good_scores(folder_of, range(8))

    def verdict_on(kind: str, baseline: Path | None = None, timeout_seconds: float = 60) -> Verdict:
        settings = dataclasses.replace(SETTINGS, timeout_seconds=timeout_seconds)
        out = folder / f"{kind} blessing {baseline is not None}"
        return validate(settings, models[kind], window, out, baseline)

    with ThreadPoolExecutor(2) as pool:
        running = {
            kind: pool.submit(verdict_on, kind, timeout_seconds=20 if kind == "hangs" else 60)
            for kind in models.keys() - ON_THREADS
        }
        running["broken baseline"] = pool.submit(verdict_on, "good", models["truncated"])
        running["hanging baseline"] = pool.submit(verdict_on, "constant", models["hangs"], timeout_seconds=3600)
        in_processes = {kind: future.result() for kind, future in running.items()}
    with on_threads():
        return in_processes | {kind: verdict_on(kind) for kind in ON_THREADS}


def test_a_good_model_is_blessed_and_measured(verdicts: dict[str, Verdict]) -> None:
    verdict = verdicts["good"]
    assert (verdict["blessed"], verdict["problems"], verdict["baseline"]) == (1, [], None)
    measured = verdict["candidate"]
    assert [(row["batch_size"], row["threads"]) for row in measured["latency"]] == [(200, 1), (100, 2), (50, 4)]
    assert all(0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"] for row in measured["latency"])
    assert 0 < measured["memory_mb"] < measured["peak_memory_mb"]
    assert 0 < measured["load_seconds"] < 60
    for skew in ("row_skew", "eval_skew"):
        assert (verdict[skew]["num_rows"], verdict[skew]["num_different"]) == (8, 0)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_a_bad_model_is_refused(verdicts: dict[str, Verdict], kind: str) -> None:
    (problem,) = verdicts[kind]["problems"]
    assert problem.startswith(PROBLEMS[kind])
    assert verdicts[kind]["blessed"] == 0


def test_a_process_that_ends_twice_in_the_same_way_is_the_verdict(verdicts: dict[str, Verdict]) -> None:
    assert [len(verdicts[kind]["tries"]) for kind in ("aborts", "hangs", "good")] == [1, 1, 0]
    assert [verdicts[kind]["may_change"] for kind in ("aborts", "hangs", "good")] == [False, True, False]


def test_a_model_that_hangs_is_not_waited_for(verdicts: dict[str, Verdict]) -> None:
    assert verdicts["hangs"]["problems"] == ["the model must score requests within 20 seconds; it did not answer"]
    assert verdicts["hangs"]["blessed"] == 0


def test_a_baseline_that_cannot_be_run_stops_no_other(verdicts: dict[str, Verdict]) -> None:
    verdict = verdicts["broken baseline"]
    assert (verdict["blessed"], verdict["problems"], verdict["baseline"]) == (1, [], None)
    assert verdict["baseline_problem"].startswith(PROBLEMS["truncated"])
    assert len(verdict["candidate"]["latency"]) == 3


def test_a_refused_model_does_not_wait_for_the_serving_model(verdicts: dict[str, Verdict]) -> None:
    """The baseline would answer after an hour."""
    assert verdicts["hanging baseline"]["problems"] == verdicts["constant"]["problems"]
    assert verdicts["hanging baseline"]["blessed"] == 0


@pytest.mark.parametrize("number", [0, 1])
def test_without_two_examples_no_model_is_blessed(tmp_path: Path, number: int) -> None:
    window = [examples_artifact(tmp_path / "examples", train=[], eval=[example(x) for x in range(number)])]
    verdict = validate(SETTINGS, tmp_path, window, tmp_path / "out")
    assert verdict["problems"] == [f"there must be at least 2 examples to score. Received: {number}"]
    assert verdict["blessed"] == 0


def test_a_request_is_an_example_without_its_label(tmp_path: Path) -> None:
    examples = examples_artifact(tmp_path, train=[example(9.0)], eval=[example(x, label=1) for x in range(8)])
    requests = [tf.train.Example.FromString(r).features.feature for r in raw_requests(examples, "eval", 6)]
    assert [r["x"].float_list.value[0] for r in requests] == [0, 2, 4, 6, 1, 3]
    assert {name for r in requests for name in r} == {"x"}
    assert len(list(raw_requests(examples, "eval"))) == 8
