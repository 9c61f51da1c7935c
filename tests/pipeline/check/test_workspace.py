"""A workspace after its database was damaged, copied and restored."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2

from components.model_store.manifest import Manifest
from components.model_store.versions import add_version
from pipeline.check.workspace import check_workspace
from pipeline.claim.lock import claimed, node_claimed
from pipeline.metadata.connection import METADATA_URL
from pipeline.metadata.handle import Metadata
from pipeline.metadata.integrity import DamagedMetadataError
from pipeline.outages import outage
from pipeline.workspace import Workspace
from tests.pages import DOCS, shell_lines, text_of
from tests.soak import postgresql
from transform.errors import InputError


def put(workspace: Workspace, number: int) -> None:
    """Adds executions, each with an artifact in a folder that is named by its id."""
    with Metadata(workspace.metadata_connection()) as handle:
        store, proto = handle.store, metadata_store_pb2
        execution_type = store.put_execution_type(proto.ExecutionType(name="Component"))
        ids = store.put_executions([proto.Execution(type_id=execution_type)] * number)
        folders = [workspace.artifacts / "trainer" / "model" / str(id_) for id_ in ids]
        for folder in folders:
            folder.mkdir(parents=True)
        type_id = store.put_artifact_type(proto.ArtifactType(name="Model"))
        live = proto.Artifact.LIVE
        store.put_artifacts([proto.Artifact(type_id=type_id, uri=str(folder), state=live) for folder in folders])


@pytest.mark.parametrize("name", ["100%41", "a b", "ü"])
def test_a_workspace_whose_name_a_url_would_escape(tmp_path: Path, name: str) -> None:
    workspace = Workspace.at(tmp_path / name / "workspace")
    with claimed(workspace):
        put(workspace, 1)
    assert check_workspace(workspace) == "the database and the folders agree: 1 artifacts, 0 versions"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with 400 artifacts, so that the database has many pages; the tests take its place, one by one."""
    made = Workspace.at(tmp_path_factory.mktemp("restored") / "workspace")
    with claimed(made):
        put(made, 400)
    shutil.copytree(made.root, made.root.with_name("as made"))
    return made


@pytest.fixture
def workspace(template: Workspace) -> Workspace:
    shutil.rmtree(template.root)
    shutil.copytree(template.root.with_name("as made"), template.root)
    return template


def overwrite(start: int, length: int) -> Callable[[Path], None]:
    """Returns what writes zeros into a file; a negative start counts from its end."""

    def write(path: Path) -> None:
        content = bytearray(path.read_bytes())
        at = start % len(content)
        content[at : at + length] = bytes(min(length, len(content) - at))
        path.write_bytes(content)

    return write


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text("no database"), cut, overwrite(0, 100), overwrite(4096, 40_000),
        overwrite(-40_000, 40_000),
    ],
    ids=["text", "cut", "header", "first pages", "last pages"],
)  # fmt: skip
def test_a_damaged_database_is_one_sentence_within_ten_seconds(
    workspace: Workspace, damage: Callable[[Path], None]
) -> None:
    path = Path(workspace.metadata_connection().sqlite.filename_uri)
    damage(path)
    started = time.monotonic()
    with pytest.raises(DamagedMetadataError) as caught, claimed(workspace):
        pass
    assert time.monotonic() - started < 10
    rule = "ML Metadata's database must be an SQLite file that can be read. Received: "
    assert str(caught.value).startswith(rule)
    assert f"({path})" in str(caught.value)
    with pytest.raises(DamagedMetadataError):
        check_workspace(workspace)


def test_the_cheap_look_of_a_node_and_of_a_report_finds_a_damaged_header(workspace: Workspace) -> None:
    overwrite(0, 100)(Path(workspace.metadata_connection().sqlite.filename_uri))
    started = time.monotonic()
    with pytest.raises(DamagedMetadataError), node_claimed(workspace, "store", "trainer"):
        pass
    with pytest.raises(DamagedMetadataError), Metadata(workspace.metadata_connection()):
        pass
    assert time.monotonic() - started < 10


def test_damage_that_ml_metadata_meets_is_the_same_sentence(workspace: Workspace) -> None:
    told = outage(RuntimeError("Error when executing query: database disk image is malformed query: SELECT"), workspace)
    assert told is not None
    assert told.startswith("ML Metadata's database must be an SQLite file that can be read. Received: database disk ")


def test_a_database_in_use_is_no_damage(workspace: Workspace) -> None:
    with sqlite3.connect(workspace.metadata_connection().sqlite.filename_uri) as other:
        other.execute("BEGIN IMMEDIATE")
        with Metadata(workspace.metadata_connection()):
            pass


def test_a_copy_of_the_stopped_workspace_is_restored(workspace: Workspace, tmp_path: Path) -> None:
    assert check_workspace(workspace) == "the database and the folders agree: 400 artifacts, 0 versions"
    copy = Path(shutil.copytree(workspace.root, tmp_path / "copy"))
    with claimed(workspace):
        put(workspace, 2)
    assert check_workspace(workspace).startswith("the database and the folders agree: 402 artifacts")

    database, saved = workspace.root / "metadata", tmp_path / "newer"
    shutil.copytree(database, saved)
    shutil.rmtree(database)
    shutil.copytree(copy / "metadata", database)  # the database alone
    with pytest.raises(InputError, match="does not have the executions 401 to 402, of which there are folders"):
        check_workspace(workspace)

    shutil.rmtree(workspace.artifacts)
    shutil.copytree(copy / "artifacts", workspace.artifacts)
    assert check_workspace(workspace) == "the database and the folders agree: 400 artifacts, 0 versions"

    shutil.rmtree(database)
    saved.rename(database)  # the folders alone
    gone = re.escape(
        f"2 of 402 artifacts in the database have no folder, such as {workspace.artifacts}/trainer/model/401"
    )
    with pytest.raises(InputError, match=gone):
        check_workspace(workspace)


def test_a_version_newer_than_the_database_is_named(workspace: Workspace) -> None:
    model = f"{workspace.artifacts}/tuner/model/9"
    add_version(str(workspace.serving("store")), lambda folder: None, Manifest(model_uri=model))
    with pytest.raises(InputError, match=rf"the database does not have the model of version 1 of store \({model}\)"):
        check_workspace(workspace)


@pytest.mark.slow  # it may have to install PostgreSQL
def test_a_dump_of_postgresql_is_restored_by_the_page_s_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: str) -> None:
        (line,) = (found for found in shell_lines(text_of(DOCS / "how_to" / "operate.md")) if found.startswith(command))
        subprocess.run(line.replace("/backup/", f"{tmp_path}/"), shell=True, check=True)

    workspace, copy = Workspace.at(tmp_path / "workspace"), tmp_path / "artifacts"
    with postgresql.running() as server:
        monkeypatch.setenv(METADATA_URL, server.url)
        monkeypatch.setenv("PATH", str(server.commands), prepend=":")
        with claimed(workspace):
            put(workspace, 2)
        run("pg_dump ")
        shutil.copytree(workspace.artifacts, copy)
        with claimed(workspace):
            put(workspace, 1)
        assert check_workspace(workspace) == "the database and the folders agree: 3 artifacts, 0 versions"

        run("pg_restore ")
        with pytest.raises(InputError, match="does not have the executions 3 to 3, of which there are folders"):
            check_workspace(workspace)
        shutil.rmtree(workspace.artifacts)
        shutil.copytree(copy, workspace.artifacts)
        assert check_workspace(workspace) == "the database and the folders agree: 2 artifacts, 0 versions"
        with claimed(workspace):
            put(workspace, 1)  # ids go on
        assert check_workspace(workspace) == "the database and the folders agree: 3 artifacts, 0 versions"
