"""What is measured by ranges is what is measured at once, whoever does the work, and in whatever order."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_model_analysis as tfma

from components.evaluation.column_extractor import ScoringTask
from components.evaluation.measuring import Measured
from components.evaluation.plan import Plan, make_plan
from components.evaluation.ranges.cuts import histogram, score_cuts, score_ranges
from components.evaluation.ranges.files import write_columns
from components.evaluation.ranges.measure import measure
from components.evaluation.scoring.columns import Columns, Members
from components.evaluation.scoring.kept_scores import ModelScores, kept_scores
from components.evaluation.tfma_config import eval_config
from components.examples.file_work import FileWork
from transform.config.evaluation import Evaluation, Threshold

NUM_ROWS = 1500


def plan(models: int = 2, gauc_by: str = "category") -> Plan:
    evaluation = Evaluation(
        {"auc": Threshold(min=0.5)}, slices=("country", "tags", "age_days < 7"), top_ks=(1, 3), gauc_by=gauc_by
    )
    config = eval_config(evaluation, weighted=True, has_requests=True, user="user_id")
    return make_plan(tfma.utils.update_eval_config_with_defaults(config, has_baseline=models > 1, rubber_stamp=True))


def rows(seed: int, models: int = 2) -> Columns:
    """Returns rows with ties, weights of 0, units and groups of several rows, and a country with one class only."""
    draw = np.random.default_rng(seed)
    tied = draw.choice([0.0, 0.001, 0.25, 0.30001, 1.0], (NUM_ROWS, models))
    country = draw.integers(0, 3, NUM_ROWS).astype(np.int32)
    label = (draw.random(NUM_ROWS) < 0.3) & (country != 2)
    hashes = draw.integers(0, 2**53, 200, np.uint64)
    requests, categories = (draw.integers(0, 2**64, size, np.uint64) for size in (300, 10))
    of_tags = [(row, tag) for row in range(NUM_ROWS) for tag in range(2) if draw.random() < 0.4]
    with_age = np.flatnonzero(draw.random(NUM_ROWS) < 0.5).astype(np.int32)
    return Columns(
        unit=hashes[draw.integers(0, len(hashes), NUM_ROWS)],
        label=label.astype(np.float32),
        weight=draw.choice([0.0, 0.1, 0.7, 2.0], NUM_ROWS).astype(np.float32),
        score=np.where(draw.random((NUM_ROWS, models)) < 0.3, tied, draw.beta(1, 9, tied.shape)).astype(np.float32),
        group={
            "category": categories[draw.integers(0, len(categories), NUM_ROWS)],
            "user_id": hashes[draw.integers(0, len(hashes), NUM_ROWS)] << np.uint64(11),
            "request_id": requests[draw.integers(0, len(requests), NUM_ROWS)],
        },
        slices={
            "country": Members(("us", "de\0", "日本"), np.arange(NUM_ROWS, dtype=np.int32), country),
            "tags": Members((1, 7), *np.array(of_tags, np.int32).T),
            "age_days < 7": Members(("true", "false"), with_age, draw.integers(0, 2, len(with_age)).astype(np.int32)),
        },
    )


def here(work: FileWork, tasks: Sequence[Any]) -> None:
    do = work.begin()
    for task in tasks:
        do(task)


def elsewhere(work: FileWork, tasks: Sequence[Any]) -> None:
    """Does each task in the last one's place, each as another worker gets it."""
    for task in reversed(tasks):
        pickle.loads(pickle.dumps(work)).begin()(pickle.loads(pickle.dumps(task)))


def found(columns: Columns, of: Plan, folder: Path, do: Any = here, rows_per_range: int = NUM_ROWS) -> list[Measured]:
    """Measures rows that are in three files, one of them without rows."""
    folder.mkdir()
    columns = Columns(**{**vars(columns), "group": {name: columns.group[name] for name in of.rankings}})
    parts = columns.split(np.repeat([0, 2], [500, NUM_ROWS - 500]), 3)
    tasks = [ScoringTask("", str(folder / f"columns-{at}"), str(folder / f"scores-{at}")) for at in range(3)]
    for part, task in zip(parts, tasks, strict=True):
        write_columns(part, task.columns, task.scores)
    scores = ModelScores([f"model-{at}" for at in range(columns.score.shape[1])], ["split"], None)
    return measure(tasks, of, scores, str(folder), str(folder), do, rows_per_range)


def check_equal(actual: list[Measured], expected: list[Measured]) -> None:
    assert [key for key, _ in actual] == [key for key, _ in expected]
    for (slice_key, values), (_, of_slice) in zip(actual, expected, strict=True):
        assert list(values) == list(of_slice)
        for key, value in of_slice.items():
            if isinstance(value, float):
                assert values[key] == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True), (slice_key, key)
            else:
                for bucket, other in zip(values[key].buckets, value.buckets, strict=True):
                    for name in ("total_weighted_label", "total_weighted_refined_prediction", "num_weighted_examples"):
                        assert getattr(bucket, name).value == pytest.approx(getattr(other, name).value, abs=1e-9)


@pytest.mark.parametrize("gauc_by", ["category", "user_id"])
@pytest.mark.parametrize("models", [1, 2])
def test_ranges_make_the_metrics_of_all_rows(models: int, gauc_by: str, tmp_path: Path) -> None:
    columns, of = rows(models, models), plan(models, gauc_by)
    whole = found(columns, of, tmp_path / "whole")
    assert [key for key, _ in whole] == [
        (), (("country", "us"),), (("country", "de\0"),), (("country", "日本"),),
        (("tags", 1),), (("tags", 7),), (("age_days < 7", "true"),), (("age_days < 7", "false"),),
    ]  # fmt: skip
    check_equal(found(columns, of, tmp_path / "ranges", rows_per_range=100), whole)


def test_a_score_that_is_nan_makes_its_model_s_metrics_nan_in_its_slices_alone(tmp_path: Path) -> None:
    columns = rows(5)
    columns.score[np.flatnonzero(columns.slices["country"].value == 1)[3], 0] = np.nan
    whole = found(columns, plan(), tmp_path / "whole")
    aucs = {
        key: [value for of, value in values.items() if getattr(of, "name", "") == "auc" and not of.is_diff]
        for key, values in whole
    }
    assert np.isnan(aucs[()]).tolist() == [True, False]
    assert np.isnan(aucs[("country", "us"),]).tolist() == [False, False]
    check_equal(found(columns, plan(), tmp_path / "ranges", rows_per_range=100), whole)


def test_the_results_are_the_same_bits_whoever_does_the_work(tmp_path: Path) -> None:
    columns = rows(6)
    one, other = (found(columns, plan(), tmp_path / do.__name__, do, rows_per_range=100) for do in (here, elsewhere))
    assert repr(one) == repr(other)
    for number in range(2):
        kept = kept_scores(str(tmp_path / "here"), f"model-{number}", ["split"])
        np.testing.assert_array_equal(kept, columns.score[:, number])


def test_no_task_has_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    split = Columns.split

    def noted(self: Columns, *arguments: Any) -> list[Columns]:
        parts = split(self, *arguments)
        sizes.append([part.num_rows for part in parts])
        return parts

    columns = rows(7)
    columns.score[:] = np.random.default_rng(0).random(columns.score.shape)  # without ties
    monkeypatch.setattr(Columns, "split", noted)
    found(columns, plan(), tmp_path / "found", rows_per_range=100)
    _, *of_files = sizes  # the first makes the files
    per_division = len(of_files) // 3
    for division in range(per_division):
        of_division = [of_files[file * per_division + division] for file in range(3)]
        assert len(of_division[0]) == 15
        assert max(map(sum, zip(*of_division, strict=True))) < 400  # a category has about 150 rows


def test_equal_scores_are_in_one_range_and_ranges_ascend() -> None:
    scores = np.array([0.5, -0.0, 0.0, 0.25, np.nan, -1.0, 0.5, np.inf, 0.5, 0.25], np.float32)
    cuts = score_cuts(histogram(scores[:5]) + histogram(scores[5:]), 5)
    # Before -1, 0, 0.25, 0.5, inf and nan there are 0, 1, 3, 5, 8 and 9 scores: 0, 0, 1, 2, 4 and 4 whole fifths.
    assert score_ranges(scores, cuts).tolist() == [2, 0, 0, 1, 3, 0, 2, 3, 2, 1]


def test_one_score_is_one_range() -> None:
    assert score_cuts(histogram(np.full(100, 0.5, np.float32)), 10).tolist() == []
