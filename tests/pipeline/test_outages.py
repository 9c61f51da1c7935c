"""An outage is distinguished from other errors, and reported in one sentence."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import grpc
import pytest
from ml_metadata import errors as mlmd_errors

from pipeline.metadata.connection import METADATA_URL
from pipeline.outages import outage
from pipeline.workspace import Workspace
from tests.prism import free_port

LOST = "PostgreSQL metadata source error: server closed the connection unexpectedly"
TOLD = "ML Metadata at postgresql://db:5432/mlmd is not available; once it is, run the same command again to continue"
REFUSED = "Failed to establish connection to Metadata storage with error: FATAL:  password authentication failed"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv(METADATA_URL, "postgresql://wdr:secret@db/mlmd")
    return Workspace.at(tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Failed to establish connection to Metadata storage with error: connection pointer is NULL"),
        RuntimeError(REFUSED),
        mlmd_errors.InternalError(LOST),
        mlmd_errors.InternalError("mysql_query failed: errno: 2013, error: Lost connection to MySQL server"),
    ],
)
def test_a_server_that_is_away(workspace: Workspace, error: Exception) -> None:
    assert outage(error, workspace) == f"{TOLD} ({type(error).__name__}: {error})"


@pytest.mark.parametrize(
    "error",
    [
        mlmd_errors.InternalError("PostgreSQL metadata source error: ERROR:  duplicate key value"),
        mlmd_errors.InternalError("mysql_query failed: errno: 1062, error: Duplicate entry"),
        ValueError("a shape"),
    ],
)
def test_another_error_is_no_outage(workspace: Workspace, error: Exception) -> None:
    assert outage(error, workspace) is None


def test_a_file_is_never_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(METADATA_URL, raising=False)
    assert outage(mlmd_errors.InternalError(LOST), Workspace.at(tmp_path)) is None


@pytest.mark.parametrize(
    ("waits", "says"),
    [
        (False, "Beam's job server (`--job_endpoint`) ended, or cannot be reached; "),
        (True, "the Beam job did not end within `--job_server_timeout`, 300 seconds if it is not given: "),
    ],
)
def test_a_job_server_that_is_away(workspace: Workspace, waits: bool, says: str) -> None:
    with grpc.insecure_channel(f"localhost:{free_port()}") as channel:
        call = channel.unary_unary("/a.Service/Method")
        with pytest.raises(grpc.RpcError) as raised:
            call(b"", timeout=0.5 if waits else 60, wait_for_ready=waits)
    reported = outage(raised.value, workspace)
    assert reported is not None
    assert reported.startswith(says)
    assert "run the same command again to continue" in reported


def test_a_worker_of_prism_that_ended(workspace: Workspace) -> None:
    reported = outage(RuntimeError("Pipeline job-001 failed: SDK worker disconnected: w1"), workspace)
    assert reported == (
        "a worker of the Beam job ended before its work was done, or never connected; once the pool of workers "
        "(`--environment_config`) runs, run the same command again to continue (RuntimeError: Pipeline job-001 failed: "
        "SDK worker disconnected: w1)"
    )


def test_a_full_disk(workspace: Workspace) -> None:
    reported = outage(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), workspace)
    assert reported is not None
    assert reported.startswith(f"no space left on the disk of {workspace.root}: ")
