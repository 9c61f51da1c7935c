"""Recognizes outages: errors such as a full disk or an unreachable database, after whose repair a retry succeeds.

The texts are those of TFX 1.21.0, ML Metadata 1.21.0, TensorFlow 2.21.0 and Beam 2.77.0, none of which documents them.
"""

from __future__ import annotations

import errno
import os
import re
import shutil

import grpc
import psycopg

from pipeline.errors import LostWorkerError, at_worker, first_line
from pipeline.metadata.connection import place_of
from pipeline.metadata.integrity import DAMAGED, damaged
from pipeline.workspace import Workspace

#: Messages of Python, TensorFlow or SQLite on a full disk; Beam quotes them.
_DISK_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "database or disk is full")

#: Messages of TFX and ML Metadata: no connection at the start, or a lost connection. Error numbers of MySQL's client
#: begin at 2000; an error that a server returns to a query (`ERROR: …`) is not an outage.
_NO_METADATA = re.compile(
    r"Failed to establish connection to Metadata storage"
    r"|PostgreSQL metadata source error: (?!\s*ERROR)"
    r"|mysql_\w+ failed: errno: 2\d\d\d\b"
)

#: Messages of Prism, Beam's runner on one machine: a worker's connection broke, or it did not connect within a minute.
_LOST_WORKER = re.compile(r"SDK worker disconnected|didn't get control connection")

#: `UnreadableError` of ingestion in the text of a Beam worker's error; its sentence says what to do.
_UNREADABLE = re.compile(r"transform\.errors\.UnreadableError: (.*?)(?: \[while running '[^']*'\])?$", re.MULTILINE)

_MB = 2**20


def outage(error: BaseException, workspace: Workspace) -> str | None:
    """Returns one sentence on an outage, which a retry overcomes once it is repaired; None for any other error."""
    if is_disk_full(error):
        return disk_full(workspace) + at_worker(error)
    if unreadable := _UNREADABLE.search(str(error)):
        return unreadable[1] + at_worker(error)
    if isinstance(error, LostWorkerError):
        return str(error)
    connection = workspace.metadata_connection()
    if connection.WhichOneof("config") == "sqlite" and (found := [text for text in DAMAGED if text in str(error)]):
        return damaged(place_of(connection), found[0])
    is_away = isinstance(error, psycopg.OperationalError) or _NO_METADATA.search(str(error))
    if connection.WhichOneof("config") != "sqlite" and is_away:
        place = place_of(connection)
        return (
            f"ML Metadata at {place} is not available; once it is, run the same command again to continue "
            f"({first_line(error)})"
        )
    return _beam_outage(error)


def _beam_outage(error: BaseException) -> str | None:
    """Returns one sentence on a Beam job that lost its job server or its worker; None for any other error.

    With a job server such as Prism, `--job_server_timeout` limits the whole job, so that the end of a worker that the
    server overlooks is noticed, too.
    """
    again = "run the same command again to continue"
    if _LOST_WORKER.search(str(error)):
        return (
            "a worker of the Beam job ended before its work was done, or never connected; once the pool of workers "
            f"(`--environment_config`) runs, {again} ({first_line(error)})"
        )
    if isinstance(error, grpc.FutureTimeoutError):
        return (
            "Beam's job server (`--job_endpoint`) did not answer within `--job_server_timeout`, 300 seconds if it is "
            f"not given; once it runs, {again}"
        )
    code = error.code() if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call) else None
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return (
            "the Beam job did not end within `--job_server_timeout`, 300 seconds if it is not given: a worker no "
            f"longer answers, or the job needs longer; once the workers run, or with a higher value, {again}"
        )
    if code is grpc.StatusCode.UNAVAILABLE:
        return (
            "Beam's job server (`--job_endpoint`) ended, or cannot be reached; Prism ends if no pool of workers "
            f"(`--environment_config`) answers; once both run, {again} ({first_line(error)})"
        )
    return None


def is_disk_full(error: BaseException) -> bool:
    """Returns whether an error, or one of its causes, is that a disk is full."""
    cause: BaseException | None = error
    while cause is not None:
        if any(sign in str(cause) for sign in _DISK_FULL):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def disk_full(workspace: Workspace) -> str:
    """Returns one sentence on a workspace's full disk; of several disks, on the one with the least free space."""
    folders = [workspace.root, *sorted(path for path in workspace.root.iterdir() if path.is_dir())]
    usage = {folder: shutil.disk_usage(folder) for folder in folders}
    fullest = min(folders, key=lambda folder: usage[folder].free)
    free, total = usage[fullest].free / _MB, usage[fullest].total / _MB
    return (
        f"no space left on the disk of {fullest}: {free:,.1f} of its {total:,.1f} MB are free now; "
        "free some space, then run the same command again to continue"
    )
