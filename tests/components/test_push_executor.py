"""The Pusher's executor pushes only accepted or forced models, and the manifest records the reasons."""

from __future__ import annotations

import dataclasses
import getpass
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import standard_artifacts

from components.artifact_types import Catalog, GateRecord
from components.artifacts import CHECKSUMS_FILE, VERDICT_FILE
from components.evaluation.metrics.paired import PairedDifference
from components.evaluation.metrics_files import read_measured
from components.gate_records import Finding, write_record
from components.gate_records import GateRecord as GateRecordContent
from components.infra_validation.verdict import CHECKSUMS, VERDICT, Checksums, Verdict
from components.model_store.manifest import Baseline, Forced, Manifest, read_manifest
from components.model_store.retention import remove_old
from components.model_store.rollback import roll_back
from components.model_store.versions import checksums, history, locked, remove_version, verify, versions
from components.push.component import PusherExecutor
from components.quality_gate.inputs import QualityInputs, Rival
from components.quality_gate.judgement import findings
from tests.components.evaluations import write_evaluation
from tests.components.pushes import another_export, push_one, raw_example
from tests.transform.small_config import small_config
from transform.config.config import Config
from transform.config.settings import Push

#: Its thresholds refuse the candidate model of `write_evaluation`.
CONFIG = small_config(("evaluation.thresholds.auc", {"min": 0.75, "max_worsening": 0.05}))


@pytest.fixture
def execute(model: Path, catalog: Path, local_root: Path, tmp_path: Path) -> Any:
    """Returns a function that runs the executor on the module's model."""
    write_evaluation(tmp_path)
    validated = checksums(str(model / "Format-Serving"))
    (tmp_path / CHECKSUMS_FILE).write_text(CHECKSUMS.to_json(Checksums(validated)))
    spans = [standard_artifacts.Examples() for _ in range(2)]
    for span, artifact in zip((3, 4), spans, strict=True):
        folder = tmp_path / f"span-{span}"
        (folder / "Split-eval").mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / "Split-eval" / "examples.gz"), "GZIP") as writer:
            for x in range(3):
                writer.write(raw_example(10 * span + x))
        artifact.uri, artifact.split_names = str(folder), '["train", "eval"]'
        artifact.set_int_custom_property("span", span)

    def run(
        *,
        by_model: int = 1,
        by_infra: int = 1,
        force_reason: str = "",
        uri: Path = model,
        baseline: str = "",
        largest_change: float | None = None,
        config: Config = CONFIG,
        anchor: Rival | None = None,
        anchor_findings: tuple[Finding, ...] = (),
    ) -> Any:
        (tmp_path / VERDICT_FILE).write_text(VERDICT.to_json(Verdict((), largest_change=largest_change)))
        candidate, snapshot, evaluation = standard_artifacts.Model(), Catalog(), standard_artifacts.ModelEvaluation()
        candidate.uri, candidate.id, snapshot.uri, evaluation.uri = str(uri), 7, str(catalog), str(tmp_path)
        by = [standard_artifacts.ModelBlessing(), standard_artifacts.InfraBlessing()]
        for artifact, blessed in zip(by, (by_model, by_infra), strict=True):
            artifact.set_int_custom_property("blessed", blessed)
            artifact.uri = str(tmp_path)
        served, record = standard_artifacts.Model(), GateRecord()
        served.uri, record.uri = baseline, str(tmp_path / "record")
        measured = read_measured(str(tmp_path))
        inputs = QualityInputs(str(uri), "recipe", baseline, measured, anchor)
        found = [] if by_model else [*findings(measured, CONFIG.evaluation), *anchor_findings]
        write_record(record.uri, GateRecordContent("quality", 4, inputs.to_json(), tuple(found)))
        pushed = standard_artifacts.PushedModel()
        PusherExecutor(BaseExecutor.Context(pipeline_run_id="monday")).Do(
            {
                "model": [candidate],
                "baseline_model": [served] if baseline else [],
                "evaluation": [evaluation],
                "quality_record": [record],
                "model_blessing": by[:1],
                "infra_blessing": by[1:],
                "examples": spans,
                "catalog": [snapshot],
            },
            {"pushed_model": [pushed]},
            {
                "config": config.to_json(),
                "serving_root": str(local_root),
                "keep_versions": 5,
                "force_reason": force_reason,
                "code_fingerprint": "f",
            },
        )
        return pushed

    return run


def refusals(version_path: str) -> tuple[str, ...]:
    """Returns the refusals that a version's push was forced past."""
    forced = read_manifest(version_path).forced
    assert forced is not None
    return forced.refusals


def test_a_model_that_both_bless_is_pushed_with_its_lineage(execute: Any, model: Path, local_root: Path) -> None:
    pushed = execute()
    assert (pushed.get_int_custom_property("pushed"), pushed.get_int_custom_property("model_id")) == (1, 7)
    assert pushed.get_int_custom_property("version") == 1
    assert pushed.get_string_custom_property("pushed_destination") == str(local_root / "1")
    manifest = json.loads((local_root / "1" / "assets.extra" / "manifest.json").read_text())
    assert set(manifest.pop("sha256")) > {"saved_model.pb", "assets.extra/tf_serving_warmup_requests"}
    del manifest["pushed_at"]
    assert manifest == {
        "version": 1,
        "model_uri": str(model),
        "model_id": 7,
        "run_id": "monday",
        "spans": [3, 4],
        "config_fingerprint": hashlib.sha256(CONFIG.to_json().encode()).hexdigest(),
        "code_fingerprint": "f",
        "signatures": ["serving_default"],
        "absent_signatures": {},
        "anchor": str(model),
        "metrics": {"candidate": {"auc": 0.7}, "baseline": {"auc": 0.8}},
        "schema_version": 1,
    }


def test_the_warm_up_requests_are_of_the_run_s_own_span(execute: Any, local_root: Path) -> None:
    execute()
    path = local_root / "1" / "assets.extra" / "tf_serving_warmup_requests"
    (record,) = tf.data.TFRecordDataset(path).as_numpy_iterator()
    inputs = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request.inputs
    assert tf.make_ndarray(next(iter(inputs.values()))).tolist() == [raw_example(x) for x in (40, 41, 42)]


def test_the_manifest_names_the_version_that_served_before(
    execute: Any, model: Path, catalog: Path, local_root: Path
) -> None:
    push_one(model, catalog, local_root, "m1")
    push_one(model, catalog, local_root, "m2")
    roll_back(str(local_root), "m2 is bad")
    execute(baseline="m1")
    assert read_manifest(str(local_root / "4")).baseline == Baseline("m1", 3)


def test_the_manifest_knows_the_digest_of_the_catalog_also_after_the_version_is_removed(
    execute: Any, local_root: Path
) -> None:
    execute()
    folder = local_root / "1" / "assets.extra" / "catalog"
    command = "find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"
    listed = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=True)
    assert read_manifest(str(local_root / "1")).catalog_digest == listed.stdout.split()[0]
    with locked(str(local_root)):
        remove_version(str(local_root), 1)
    assert history(str(local_root))[1].catalog_digest == listed.stdout.split()[0]
    assert Manifest().catalog_digest == ""


@pytest.mark.parametrize(("by_model", "by_infra"), [(0, 1), (1, 0), (0, 0)])
def test_a_model_that_one_does_not_bless_is_not_pushed(
    execute: Any, local_root: Path, by_model: int, by_infra: int
) -> None:
    pushed = execute(by_model=by_model, by_infra=by_infra)
    assert (pushed.get_int_custom_property("pushed"), pushed.get_int_custom_property("model_id")) == (0, 7)
    assert not local_root.exists()


def test_a_forced_push_keeps_its_reason_and_what_was_refused(execute: Any, local_root: Path) -> None:
    pushed = execute(by_model=0, force_reason="the threshold is wrong")
    assert pushed.get_int_custom_property("version") == 1
    assert read_manifest(str(local_root / "1")).forced == Forced(
        by=getpass.getuser(),
        reason="the threshold is wrong",
        refusals=(
            "auc must be at least 0.75. Received: 0.7000 on 1,000 examples, 300 of them positive",
            "auc may be worse than the baseline's by at most 0.05, beyond chance. Received: 0.7000 after 0.8000, "
            "a change of -0.1196 to -0.0804, on 1,000 examples, 300 of them positive",
        ),
    )


BETTER = {"auc": PairedDifference(0.04, 0.01), "logloss": PairedDifference(-0.001, 0.001)}
WORSE = {"auc": PairedDifference(-0.04, 0.01), "logloss": PairedDifference(0.001, 0.001)}
REFUSED = Finding("quality", "quality.max_auc_loss", "refuse", "auc", 0.04, 0.006, 1000, "auc is below the anchor's")


def test_the_anchor_stays_until_a_better_model_is_pushed(execute: Any, model: Path, local_root: Path) -> None:
    execute(anchor=Rival("m1", 1, differences=WORSE))
    assert read_manifest(str(local_root / "1")).anchor == "m1"


def test_a_better_model_is_the_anchor(execute: Any, model: Path, local_root: Path) -> None:
    execute(anchor=Rival("m1", 1, differences=BETTER))
    assert read_manifest(str(local_root / "1")).anchor == str(model)


def test_a_model_forced_past_the_anchor_is_the_anchor_and_one_forced_past_a_threshold_is_not(
    execute: Any, model: Path, tmp_path: Path, local_root: Path
) -> None:
    anchor = Rival("m1", 1, differences=WORSE)
    execute(by_model=0, force_reason="a holiday", anchor=anchor)
    assert read_manifest(str(local_root / "1")).anchor == "m1"
    again = another_export(model, tmp_path / "again", "again")
    (tmp_path / CHECKSUMS_FILE).write_text(CHECKSUMS.to_json(Checksums(checksums(str(again / "Format-Serving")))))
    execute(by_model=0, force_reason="the feature is gone", uri=again, anchor=anchor, anchor_findings=(REFUSED,))
    assert read_manifest(str(local_root / "2")).anchor == str(again)
    assert refusals(str(local_root / "2"))[-1] == "auc is below the anchor's"


def test_a_reason_that_was_not_needed_overruled_nothing(execute: Any, local_root: Path) -> None:
    pushed = execute(force_reason="to be sure")
    assert read_manifest(str(local_root / "1")).forced is None
    assert pushed.get_string_custom_property("note") == "`--force-push` overruled nothing: nothing refused the model"


@pytest.mark.parametrize("by_model", [0, 1])
def test_no_push_is_forced_past_infra_validation(execute: Any, local_root: Path, by_model: int) -> None:
    pushed = execute(by_model=by_model, by_infra=0, force_reason="it will be all right")
    assert pushed.get_int_custom_property("pushed") == 0
    assert "not past infra validation" in pushed.get_string_custom_property("refusal")
    assert not local_root.exists()


def test_a_push_whose_baseline_serves_no_more_says_so(
    execute: Any, model: Path, catalog: Path, local_root: Path
) -> None:
    push_one(model, catalog, local_root, "m1")
    push_one(model, catalog, local_root, "m2")
    pushed = execute(baseline="m1")
    assert pushed.get_int_custom_property("pushed") == 0
    assert "another one serves by now" in pushed.get_string_custom_property("refusal")
    assert versions(str(local_root)) == [1, 2]


def test_what_serves_never_goes_back_to_earlier_days_by_itself(
    execute: Any, model: Path, catalog: Path, local_root: Path
) -> None:
    """The candidate was trained on the spans 3 and 4."""
    push_one(model, catalog, local_root, "m1", spans=[4, 5])
    pushed = execute()
    assert pushed.get_int_custom_property("pushed") == 0
    refusal = pushed.get_string_custom_property("refusal")
    assert refusal == (
        "a pushed model's newest span must be that of the model that serves, 5, or a later one. Received: 4 "
        f"({local_root}). `wdr run --force-push --reason TEXT` pushes it anyway"
    )
    assert versions(str(local_root)) == [1]
    forced = execute(force_reason="day 5 was fraud", by_model=0)
    assert forced.get_int_custom_property("version") == 2
    assert forced.get_string_custom_property("force_reason") == "day 5 was fraud"
    assert forced.get_string_custom_property("refusal") == refusal
    *by_gates, by_push = refusals(str(local_root / "2"))
    assert (len(by_gates), by_push) == (2, refusal)


def test_a_past_day_that_is_forced_but_was_pushed_already_stays_what_it_is(
    execute: Any, model: Path, catalog: Path, local_root: Path
) -> None:
    assert execute().get_int_custom_property("version") == 1
    push_one(model, catalog, local_root, "m2", spans=[5])
    again = execute(force_reason="once more")
    assert again.get_int_custom_property("version") == 1
    assert again.get_string_custom_property("force_reason") == ""
    assert versions(str(local_root)) == [1, 2]


def test_a_model_of_the_same_day_is_pushed(execute: Any, model: Path, catalog: Path, local_root: Path) -> None:
    push_one(model, catalog, local_root, "m1", spans=[2, 4])
    assert execute().get_int_custom_property("version") == 2


def test_a_model_that_was_changed_since_it_was_validated_is_not_pushed(
    execute: Any, model: Path, tmp_path: Path, local_root: Path
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(model, changed)
    (data,) = (changed / "Format-Serving" / "variables").glob("variables.data-*")
    data.write_bytes(data.read_bytes()[:-1])
    pushed = execute(uri=changed)
    assert pushed.get_int_custom_property("pushed") == 0
    assert pushed.get_string_custom_property("refusal") == (
        "a pushed model's files must be those that infra validation has run. "
        f"Received: variables/{data.name} was changed ({changed}/Format-Serving)"
    )
    assert versions(str(local_root)) == []


def test_a_model_that_scores_as_the_serving_one_is_no_new_version(
    execute: Any, model: Path, catalog: Path, local_root: Path
) -> None:
    push_one(model, catalog, local_root, "m1")
    pushed = execute(baseline="m1", largest_change=3e-7)
    assert pushed.get_int_custom_property("pushed") == 0
    refusal = pushed.get_string_custom_property("refusal")
    assert refusal.startswith("a new version's scores must differ from the baseline's by more than 1e-05")
    assert "Received: 3.0e-07 at most" in refusal
    assert versions(str(local_root)) == [1]


@pytest.mark.parametrize(
    "asked",
    [
        {"largest_change": 2e-5},
        {"largest_change": 0.0, "config": dataclasses.replace(CONFIG, push=Push(unchanged=True))},
        {"largest_change": 0.0, "force_reason": "for its catalog"},
    ],
    ids=["other scores", "config", "forced"],
)
def test_a_model_with_other_scores_or_that_is_wanted_all_the_same_is_a_new_version(
    execute: Any, model: Path, catalog: Path, local_root: Path, asked: dict[str, Any]
) -> None:
    push_one(model, catalog, local_root, "m1")
    assert execute(baseline="m1", **asked).get_int_custom_property("version") == 2
    assert (read_manifest(str(local_root / "2")).forced is not None) == ("force_reason" in asked)


def test_a_version_that_was_deleted_is_pushed_again(execute: Any, local_root: Path) -> None:
    assert execute().get_int_custom_property("version") == 1
    shutil.rmtree(local_root / "1")
    again = execute()
    assert (again.get_int_custom_property("version"), again.get_string_custom_property("note")) == (1, "")
    verify(str(local_root / "1"))


def test_a_version_that_serves_and_is_damaged_is_pushed_again_as_another(execute: Any, local_root: Path) -> None:
    execute()
    path = local_root / "1" / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:-1])
    again = execute()
    assert again.get_int_custom_property("version") == 2
    note = again.get_string_custom_property("note")
    assert note.startswith("in place of version 1: a version's files must be those that were pushed. Received: saved_m")
    verify(str(local_root / "2"))
    assert execute().get_int_custom_property("version") == 2


def test_of_an_older_version_that_is_not_as_it_was_the_push_says_so(
    execute: Any, model: Path, catalog: Path, local_root: Path
) -> None:
    execute()
    push_one(model, catalog, local_root, "m2", spans=[5])
    path = local_root / "1" / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:-1])
    assert "saved_model.pb was changed" in execute().get_string_custom_property("note")
    remove_old(str(local_root), keep=1)
    removed = execute()
    assert removed.get_int_custom_property("version") == 1
    serves = "pushed before this run: version 2 serves"
    assert removed.get_string_custom_property("note") == f"{serves}; removed since, as newer versions were pushed"
    assert versions(str(local_root)) == [2]


def test_a_version_s_number_is_never_given_again_while_its_manifest_is_kept(
    execute: Any, model: Path, catalog: Path, local_root: Path
) -> None:
    for uri in ("m1", "m2", "m3"):
        push_one(model, catalog, local_root, uri)
    remove_old(str(local_root), keep=1)
    shutil.rmtree(local_root / "3")  # nothing serves
    assert push_one(model, catalog, local_root, "m4") == 3
    shutil.rmtree(local_root / "3")
    assert push_one(model, catalog, local_root, "m2") == 3  # one above version 2, the last one with a manifest
