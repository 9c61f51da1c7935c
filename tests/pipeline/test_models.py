"""`wdr models list`, `show`, `rollback` and `pin` on a workspace with a real ML Metadata store."""

from __future__ import annotations

import getpass
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from ml_metadata.proto import metadata_store_pb2 as mlmd_pb2

from components import storage
from components.data_validation.gates import RowGate
from components.evaluation.metrics_files import read_measured
from components.evaluation.results import write_measured
from components.model_store.manifest import Manifest, read_manifest
from components.model_store.rollback import roll_back
from components.model_store.versions import add_version, remove_version, versions
from pipeline.cli.main import cli
from pipeline.metadata import store as metadata_store
from pipeline.metadata.connection import METADATA_URL
from pipeline.workspace import Workspace
from tests.components.serving_folder import edit_manifest
from tests.pipeline import heavy_imports
from tests.pipeline.pushed_models import Store, push_on_three_days, refused, wdr
from tests.prism import free_port
from transform.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Workspace.at(tmp_path))


@pytest.fixture
def three_days(store: Store, tmp_path: Path) -> Store:
    return push_on_three_days(store, tmp_path)


def test_list_tells_what_serves_what_is_pinned_and_what_is_unusual(store: Store, tmp_path: Path) -> None:
    examples = store.ingest(1, tmp_path)
    store.push([examples])
    store.push([examples], forced={"by": "ann", "reason": "a holiday", "refusals": ["auc is low"]})
    wdr(store, "rollback", "--reason", "no holiday")
    assert wdr(store, "pin", "1", "--reason", "audit") == f"version 1 is pinned ({store.root}/1)"
    times = [read_manifest(f"{store.root}/{version}").pushed_at for version in (1, 2, 3)]
    assert wdr(store, "list").splitlines() == [
        "model version spans serves pinned pushed note where",
        f"store 1 1 audit {times[0]} {store.root}/1",
        f"store 2 1 {times[1]} forced: a holiday; refused: auc is low {store.root}/2",
        f"store 3 1 yes {times[2]} restores 1: no holiday {store.root}/3",
    ]
    assert wdr(store, "unpin", "1") == f"version 1 is no longer pinned ({store.root}/1)"
    assert "audit" not in wdr(store, "list")


def test_list_and_show_say_what_was_changed_since_the_push(store: Store, tmp_path: Path) -> None:
    examples = store.ingest(1, tmp_path)
    for _ in range(3):
        store.push([examples], metrics={"candidate": {"auc": 0.7}})
    storage.write_text(f"{store.root}/1/saved_model.pb", "other")
    edit_manifest(f"{store.root}/2", lambda entries: entries["metrics"]["candidate"].update(auc=0.9))
    of_files = (
        f"a version's files must be those that were pushed. Received: saved_model.pb was changed ({store.root}/1)"
    )
    of_manifest = "a version's manifest must be the one that it was pushed with, with the same metrics, spans and other"
    _, first, second, third = wdr(store, "list").splitlines()
    assert of_files in first
    assert of_manifest in second
    assert "must" not in third
    assert f"damaged {of_files}" in wdr(store, "show", "1").splitlines()
    assert f"damaged {of_manifest}" in wdr(store, "show", "2")
    assert "damaged" not in wdr(store, "show", "3")
    assert json.loads(wdr(store, "show", "1", "--json"))["damage"] == of_files
    assert [bool(entry["damage"]) for entry in json.loads(wdr(store, "list", "--json"))["versions"]] == [1, 1, 0]
    remove_version(store.root, 2)
    assert f"damaged {of_manifest}" in wdr(store, "show", "2")


def test_reasons_with_brackets_are_shown_as_they_were_given(store: Store, tmp_path: Path) -> None:
    """They are no markup: `[/oncall/42]` would end every later `wdr models list` with an error."""
    reason = "[/oncall/42] [hotfix] :x: b\\"
    examples = store.ingest(1, tmp_path)
    (verdict,) = store.put(RowGate.get_class_type(), [examples], {"GateVerdict": "/v/1"})
    verdict.custom_properties["accepted"].string_value = "too many rejected"
    verdict.custom_properties["accept_reason"].string_value = reason
    store.store.put_artifacts([verdict])
    for pattern in ("[a-z]", "[/b]"):
        store.push([examples], {"sources": {"pattern": pattern}})
    wdr(store, "pin", "1", "--reason", reason)
    wdr(store, "rollback", "--reason", reason)
    listed = wdr(store, "list").splitlines()
    assert f" {reason} " in listed[1]
    assert f"restores 1: {reason} " in listed[3]
    assert f"note restores 1: {reason}" in wdr(store, "show").splitlines()
    assert f"accepted {reason}: too many rejected" in wdr(store, "show").splitlines()
    assert f"version 1, which does not serve; pinned: {reason} ({store.root}/1)" in wdr(store, "show", "1")
    assert 'config sources.pattern "[a-z]" "[/b]"' in wdr(store, "diff", "1", "2")


def test_which_model_is_meant(store: Store, tmp_path: Path) -> None:
    assert refused(store, "list").startswith("nothing was pushed yet")
    store.push([store.ingest(1, tmp_path)])
    add_version(str(store.workspace.serving("other")), lambda folder: None, Manifest())
    assert [line.split()[0] for line in wdr(store, "list").splitlines()] == ["model", "other", "store"]
    assert [line.split()[0] for line in wdr(store, "list", "--model", "other").splitlines()] == ["model", "other"]
    assert refused(store, "pin", "1").startswith("`--model` must name one of ['other', 'store']. Received: none")
    assert "Received: third" in refused(store, "pin", "1", "--model", "third")
    assert wdr(store, "pin", "1", "--model", "store").startswith("version 1 is pinned")


def test_show_walks_back_to_log_files_and_row_counts(store: Store, tmp_path: Path) -> None:
    examples = [store.ingest(span, tmp_path) for span in (2, 3)]
    store.push(examples[:1])
    store.push(
        examples,
        run_id="monday",
        code_fingerprint="c0de",
        config_fingerprint="c0ff",
        baseline={"version": 1, "model_uri": "/m/1"},
        metrics={"candidate": {"auc": 0.75}, "baseline": {"auc": 0.7}},
        signatures=["rank_items", "serving_default"],
        absent_signatures={"rank": "no item table", "rank_named": "no item table"},
    )
    lines = wdr(store, "show").splitlines()
    assert lines[0] == f"version 2, which serves ({store.root}/2)"
    for line in (
        "model /m/2",
        "code fingerprint c0de",
        "config fingerprint c0ff",
        "held against version 1 (/m/1)",
        "signatures rank_items, serving_default; no rank, rank_named: no item table",
        "auc 0.75 (version before 0.7)",
        "files 3, with checksums",
    ):
        assert line in lines
    assert [line for line in lines if line.endswith("by run monday")]
    quarantine = store.workspace.artifacts / "quarantine-3"
    start = lines.index("span 3 /e/3")
    assert lines[start:] == [
        "span 3 /e/3",
        "examples 20 eval, 77 train",
        "apps 7 rows read, 0 rejected",
        f"{tmp_path}/apps.csv",
        f"impressions 100 rows read, 3 rejected (bad_label 2, no_id 1; {quarantine})",
        f"{tmp_path}/day-3/a.csv",
        f"{tmp_path}/day-3/b.csv",
        "span 2 /e/2",
        "examples 20 eval, 77 train",
        "apps 7 rows read, 0 rejected",
        f"{tmp_path}/apps.csv",
        f"impressions 100 rows read, 3 rejected (bad_label 2, no_id 1; {str(quarantine)[:-1]}2)",
        f"{tmp_path}/day-2/a.csv",
        f"{tmp_path}/day-2/b.csv",
    ]
    first = wdr(store, "show", "1").splitlines()
    assert first[0] == f"version 1, which does not serve ({store.root}/1)"
    assert "span 2 /e/2" in first
    assert "span 3 /e/3" not in first


def test_show_says_which_model_the_anchor_is(store: Store, tmp_path: Path) -> None:
    examples = store.ingest(1, tmp_path)
    store.push([examples], anchor="/m/1")
    store.push([examples], anchor="/m/1")
    assert "anchor this model, from its push on" in wdr(store, "show", "1").splitlines()
    assert "anchor /m/1" in wdr(store, "show", "2").splitlines()


def test_show_says_what_a_person_accepted_of_a_span_s_data(store: Store, tmp_path: Path) -> None:
    accepted, other = (store.ingest(span, tmp_path) for span in (1, 2))
    (verdict,) = store.put(RowGate.get_class_type(), [accepted], {"GateVerdict": "/v/1"})
    verdict.custom_properties["accepted"].string_value = "too many rejected"
    verdict.custom_properties["accept_reason"].string_value = "bots"
    verdict.custom_properties["accepted_by"].string_value = "ann"
    store.store.put_artifacts([verdict])
    store.push([accepted, other])
    lines = wdr(store, "show").splitlines()
    assert lines[lines.index("span 1 /e/1") + 1] == "accepted bots (by ann): too many rejected"
    assert lines[lines.index("span 2 /e/2") + 1].startswith("examples")


def test_show_says_what_a_person_accepted_of_an_earlier_ingestion_of_the_rows(store: Store, tmp_path: Path) -> None:
    """As before a table that all spans share was rewritten; the files of that ingestion may be removed."""
    accepted, again, other = store.ingest(1, tmp_path), store.ingest(1, tmp_path), store.ingest(2, tmp_path)
    for number, examples in enumerate((accepted, again, other)):
        examples.custom_properties["input_fingerprint"].string_value = f"all files {number}"
        examples.custom_properties["span_fingerprint"].string_value = "the log of span 1" if number < 2 else "of 2"
    accepted.state = mlmd_pb2.Artifact.DELETED
    store.store.put_artifacts([accepted, again, other])
    (verdict,) = store.put(RowGate.get_class_type(), [accepted], {"GateVerdict": "/v/1"})
    verdict.custom_properties["accepted"].string_value = "too many rejected"
    verdict.custom_properties["accept_reason"].string_value = "bots"
    store.store.put_artifacts([verdict])
    store.push([again, other])
    lines = wdr(store, "show").splitlines()
    assert lines[lines.index("span 1 /e/1") + 1] == "accepted bots: too many rejected"
    assert lines[lines.index("span 2 /e/2") + 1].startswith("examples")


def test_show_tells_of_a_rollback_and_of_a_version_that_was_removed(store: Store, tmp_path: Path) -> None:
    examples = store.ingest(1, tmp_path)
    store.push([examples])
    store.push([examples], forced={"by": "ann", "reason": "a holiday", "refusals": ["auc is low", "logloss is high"]})
    wdr(store, "rollback", "--reason", "no holiday")
    shown = wdr(store, "show").splitlines()
    assert "note restores 1: no holiday" in shown
    assert f"rolled back from version 2 to version 1, by {getpass.getuser()}" in shown
    assert "model /m/1" in shown
    assert "span 1 /e/1" in shown
    remove_version(store.root, 2)
    removed = wdr(store, "show", "2").splitlines()
    assert removed[0] == "version 2, removed, since newer ones were pushed"
    assert "note forced: a holiday; refused: auc is low; logloss is high" in removed
    assert "forced by ann" in removed
    assert "span 1 /e/1" in removed
    assert refused(store, "show", "4") == (f"a version to show must be one of [1, 2, 3]. Received: 4 ({store.root})")


def test_show_says_what_is_not_known_any_more(store: Store, tmp_path: Path) -> None:
    store.push([store.ingest(1, tmp_path)])
    quarantine = store.workspace.artifacts / "quarantine-1"
    (quarantine / "counts.json").unlink()
    assert f"rows the counts were removed ({quarantine})" in wdr(store, "show").splitlines()
    (store.workspace.root / "metadata" / "metadata.db").unlink()
    assert "rows ML Metadata has no record of the model" in wdr(store, "show")


def test_a_rollback_is_on_record_in_ml_metadata_with_what_the_restored_push_had_read(
    store: Store, tmp_path: Path
) -> None:
    examples = store.ingest(1, tmp_path)
    store.push([examples])
    store.push([examples, store.ingest(2, tmp_path)])
    printed = wdr(store, "rollback", "--reason", "the second is bad").splitlines()
    assert printed[0] == f"version 3 serves ({store.root}/3)"
    assert printed[1].startswith("recorded in ML Metadata")

    pushed = max(store.store.get_artifacts_by_type("PushedModel"), key=lambda a: a.id)
    properties = {name: getattr(v, v.WhichOneof("value")) for name, v in pushed.custom_properties.items()}
    (model,) = store.store.get_artifacts_by_uri("/m/1")
    assert properties == {
        "pushed": 1, "version": 3, "model_id": model.id, "pushed_destination": f"{store.root}/3",
    }  # fmt: skip
    (made,) = store.store.get_events_by_artifact_ids([pushed.id])
    (execution,) = store.store.get_executions_by_id([made.execution_id])
    assert execution.last_known_state == mlmd_pb2.Execution.COMPLETE
    assert execution.custom_properties["rollback_reason"].string_value == "the second is bad"
    assert execution.custom_properties["rollback_by"].string_value == getpass.getuser()
    assert execution.custom_properties["rollback_of"].int_value == 2
    assert execution.custom_properties["restores"].int_value == 1
    read = [
        e.artifact_id for e in store.store.get_events_by_execution_ids([execution.id]) if e.type == mlmd_pb2.Event.INPUT
    ]
    assert set(read) == {model.id, examples.id}
    assert [c.name for c in store.store.get_contexts_by_artifact(pushed.id)] == ["store"]

    # A rollback of a rollback finds the record of the first one.
    roll_back(store.root, "the second was good", to=2)
    assert (
        wdr(store, "rollback", "--to", "3", "--reason", "no, it was not").splitlines()[1].startswith("recorded in ML")
    )


def test_a_rollback_that_ml_metadata_cannot_place_is_in_the_manifest(store: Store) -> None:
    for uri in ("/m/1", "/m/2"):
        add_version(store.root, lambda folder: None, Manifest(model_uri=uri, model_id=1))
    printed = wdr(store, "rollback", "--reason", "a test").splitlines()
    assert printed[1].startswith("recorded in the manifest only")
    assert read_manifest(f"{store.root}/3").rollback_reason == "a test"


def test_a_rollback_that_ml_metadata_cannot_record_says_that_the_version_serves(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a person repeats the command, which rolls back one version more."""
    for _ in range(2):
        store.push([store.ingest(1, tmp_path)])
    server = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv(METADATA_URL, f"postgresql://wdr:secret@{server}/mlmd")
    monkeypatch.setattr(metadata_store, "_MAX_TRIES", 1)
    done = CliRunner().invoke(
        cli, ["models", "rollback", "--reason", "a test", "--workspace", str(store.workspace.root)]
    )
    assert isinstance(done.exception, InputError)
    reported = str(done.exception)
    assert reported.startswith("version 3 serves and its manifest records the rollback, but ML Metadata could not be ")
    assert reported.endswith(f" (postgresql://{server}/mlmd)")
    assert len(reported.splitlines()) == 1
    assert versions(store.root) == [1, 2, 3]


def test_a_malformed_url_of_ml_metadata_is_refused_before_the_rollback(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        store.push([store.ingest(1, tmp_path)])
    monkeypatch.setenv(METADATA_URL, "postgresql://wdr@db")
    assert refused(store, "rollback", "--reason", "a test").startswith(f"{METADATA_URL} must be postgresql:// or ")
    assert versions(store.root) == [1, 2]


def test_the_command_makes_the_previous_version_serve_within_two_seconds(store: Store, tmp_path: Path) -> None:
    """Measures processor time, as others may use the processor: of the whole command, with start-up and record."""
    examples = store.ingest(1, tmp_path)
    store.push([examples])
    store.push([examples])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "pipeline.cli", "models", "rollback", "--reason", "a test"]
    done = subprocess.run(
        [*command, "--workspace", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout.startswith(f"version 3 serves ({store.root}/3)\nrecorded in ML Metadata")
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2


@pytest.mark.parametrize(
    "command",
    [
        ["models", "list"],
        ["models", "show"],
        ["models", "diff", "1", "2"],
        ["models", "history"],
        ["models", "rollback", "--reason", "scores are off"],
        ["models", "pin", "1"],
        ["models", "tf-serving", "--out", "{out}"],
        ["gc", "--dry-run"],
    ],
)
def test_the_command_imports_no_heavy_library(three_days: Store, tmp_path: Path, command: list[str]) -> None:
    for evaluation in three_days.workspace.artifacts.glob("evaluation-*"):
        write_measured(str(evaluation), read_measured(str(evaluation)))
    words = [word.format(out=tmp_path / "models.config") for word in command]
    done = heavy_imports.wdr(*words, "--workspace", str(three_days.workspace.root))
    assert (done.code, done.stderr, done.imported) == (0, "", [])
    if command == ["models", "history"]:
        assert "3        2     1,000  auc     0.6500  0.6100  +0.0204 to +0.0596" in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ["models", "list"],
        ["models", "show"],
        ["models", "diff", "1", "2"],
        ["models", "history"],
        ["models", "rollback", "--reason", "scores are off"],
        ["models", "pin", "1"],
        ["models", "unpin", "1"],
        ["gc", "--dry-run"],
        ["gc"],
    ],
)
def test_a_mistyped_workspace_is_an_error_and_is_not_made(tmp_path: Path, command: list[str]) -> None:
    done = CliRunner().invoke(cli, [*command, "--workspace", str(tmp_path / "typo")])
    assert isinstance(done.exception, InputError)
    assert str(done.exception) == f"there must be a workspace, which `wdr run` makes. Received: {tmp_path / 'typo'}"
    assert list(tmp_path.iterdir()) == []
