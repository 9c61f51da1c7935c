"""`wdr models diff` and `wdr models history`: what changed between versions, and how they compare on a span."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from components.evaluation.metrics_files import read_measured
from components.evaluation.progressive import ProgressiveEvaluator
from components.evaluation.results import BASELINE, MODEL, Measured, read_written, write_measured
from pipeline.registry.progressive import progress_problem, read_history
from pipeline.workspace import Workspace
from tests.components.evaluations import write_evaluation
from tests.pipeline.pushed_models import Store, push_on_three_days, refused, wdr
from transform.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Workspace.at(tmp_path))


@pytest.fixture
def three_days(store: Store, tmp_path: Path) -> Store:
    return push_on_three_days(store, tmp_path)


def test_diff_names_what_changed_and_nothing_else(store: Store, tmp_path: Path) -> None:
    examples = [store.ingest(span, tmp_path) for span in (1, 2)]
    feature = {"name": "price", "num_quantiles": 10, "parts": ["wide", "deep"]}
    config = {"model": {"dropout": 0.0, "hidden_units": [8, 4]}, "spec": {"features": [feature], "crosses": []}}
    store.push(examples[:1], config, code_fingerprint="f", metrics={"candidate": {"auc": 0.75, "logloss": 0.5}})
    config = {
        "model": {"dropout": 0.1, "hidden_units": [8, 4]},
        "spec": {
            "features": [{"name": "price", "num_quantiles": 20, "parts": ["wide", "deep"]}],
            "crosses": [{"features": ["app", "user"], "buckets": 9}],
        },
    }
    store.push(examples, config, code_fingerprint="f", metrics={"candidate": {"auc": 0.8, "logloss": 0.5}})
    for version, rows in ((1, 2), (2, 3)):
        folder = Path(store.root, str(version), "assets.extra", "catalog", "apps")
        folder.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP") as writer:
            for row in range(rows):
                example = tf.train.Example()
                example.features.feature["table_key"].bytes_list.value.append(str(row).encode())
                writer.write(example.SerializeToString())
    assert wdr(store, "diff", "1", "2").splitlines() == [
        "what version 1 version 2",
        "spans 1 1, 2",
        "model /m/1 /m/2",
        "vocabulary app 11 12",
        "table apps 2 rows 3 rows",
        "config model.dropout 0.0 0.1",
        "config features.price.num_quantiles 10 20",
        "config crosses [] –",
        'config crosses.app x user.features – ["app", "user"]',
        "config crosses.app x user.buckets – 9",
        "metrics of span 1 of span 2: not comparable",
    ]
    assert wdr(store, "diff", "2", "2") == "versions 2 and 2 do not differ"
    assert refused(store, "diff", "1", "7").startswith("a version to compare must be one of [1, 2]. Received: 7")


def test_diff_compares_metrics_on_the_span_that_was_new_to_both(three_days: Store) -> None:
    """Compared on their own days, version 2 would be worse."""
    assert "auc on span 3, unseen by both 0.61 0.65" in wdr(three_days, "diff", "1", "2").splitlines()
    assert "auc on span 3, unseen by both 0.65 0.61" in wdr(three_days, "diff", "2", "1").splitlines()
    assert "auc on span 4, unseen by both 0.62 0.64" in wdr(three_days, "diff", "2", "3").splitlines()
    assert "metrics of span 1 of span 3: not comparable" in wdr(three_days, "diff", "1", "3").splitlines()


def test_what_could_not_be_measured_on_a_span_is_in_no_history_and_said(three_days: Store) -> None:
    artifacts, problem = three_days.workspace.artifacts, "the model cannot score the rows: price"
    evaluations = {a.uri: a for a in three_days.store.get_artifacts_by_type("ModelEvaluation")}
    third, fourth = (str(artifacts / f"evaluation-{span}") for span in (3, 4))
    alone = {"": read_measured(third)[""].without_baseline()}
    write_measured(third, alone, {BASELINE: problem})
    write_measured(fourth, {}, {MODEL: problem})
    history = read_history(three_days.workspace.metadata_connection())
    assert [(p.span, p.measured.baseline == {}, p.before_uri) for p in history] == [(2, True, ""), (3, True, "")]
    said = [progress_problem(three_days.store, evaluations[uri]) for uri in (third, fourth)]
    assert said == [f"{problem}, the model before the last one", problem]
    assert "unseen by both" not in wdr(three_days, "diff", "1", "2")


def test_diff_compares_a_model_with_the_one_it_was_held_against_on_its_own_span(three_days: Store) -> None:
    shutil.rmtree(three_days.workspace.artifacts / "evaluation-3")
    assert "auc on span 2 0.5 0.6" in wdr(three_days, "diff", "1", "2").splitlines()
    assert "auc on span 2 0.6 0.5" in wdr(three_days, "diff", "2", "1").splitlines()


def test_history_is_of_one_model(three_days: Store, tmp_path: Path) -> None:
    """Two configs have spans of the same numbers."""
    other = Store(three_days.workspace, "other")
    examples = other.ingest(3, tmp_path)
    (model,) = other.put("Trainer", [other.ingest(2, tmp_path)], {"Model": "/m/other"})
    (tmp_path / "of_other").mkdir()
    write_evaluation(tmp_path / "of_other", 0.875, None)
    other.put(ProgressiveEvaluator.get_class_type(), [examples, model], {"ModelEvaluation": str(tmp_path / "of_other")})
    of_store = [line.split()[4] for line in wdr(three_days, "history", "--model", "store").splitlines()[2:]]
    assert of_store == ["0.5500", "0.6500", "0.6400"]
    assert wdr(three_days, "history", "--model", "other").splitlines()[2:] == ["3 2 1,000 auc 0.8750"]
    place = f"({three_days.workspace.root}/metadata/metadata.db)"
    reported = "`--model` must name one of ['other', 'store']. Received: "
    assert refused(three_days, "history") == f"{reported}none {place}"
    assert refused(three_days, "history", "--model", "third") == f"{reported}third {place}"


@pytest.mark.slow
def test_history_fits_a_terminal_of_80_columns_and_prints_nothing_else(three_days: Store) -> None:
    command = [
        sys.executable,
        "-m",
        "pipeline.cli",
        "models",
        "history",
        "--workspace",
        str(three_days.workspace.root),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert [" ".join(line.split()) for line in lines] == [
        "trained",
        "span to examples metric model before change (95 %)",
        "2 1 1,000 auc 0.5500",
        "3 2 1,000 auc 0.6500 0.6100 +0.0204 to +0.0596",
        "4 3 1,000 auc 0.6400 0.6200 +0.0004 to +0.0396",
    ]


def test_results_are_read_as_they_were_written(three_days: Store, tmp_path: Path) -> None:
    measured = read_measured(str(three_days.workspace.artifacts / "evaluation-3"))
    write_measured(str(tmp_path), measured)
    assert read_written(str(tmp_path)) == Measured(measured)
    assert read_written(str(tmp_path / "none")) is None
    (tmp_path / "measured.json").write_text("{}")
    with pytest.raises(InputError, match=re.escape("an evaluation's results must have `schema_version` 1.")):
        read_written(str(tmp_path))
