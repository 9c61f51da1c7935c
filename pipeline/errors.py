"""Formats errors as one sentence for the user."""

from __future__ import annotations

import errno
import re

import click

from pipeline.addresses import without_credentials
from transform.errors import UserError

#: The suffix that Beam 2.77.0 appends to an error's text, and the line before a traceback in a worker's report.
_BEAM_STEP = re.compile(r" \[while running '[^']*'\]$")
_TRACEBACK = "Traceback (most recent call last):"


class LostWorkerError(RuntimeError):
    """A pool of workers is away, or a worker ended: one sentence, with what to do before a retry."""


class WorkerError(RuntimeError):
    """An error of the code that a worker of `beam.workers` or `beam.num_workers` ran; its text is the worker's report.

    Attributes:
      address: The address of the worker's pool; the config's key, if it was forked.
    """

    def __init__(self, address: str, report: str) -> None:
        super().__init__(report)
        self.address = address


def first_line(error: BaseException) -> str:
    """Returns an unexpected error as one line, without credentials: its type and the first line of its message."""
    return without_credentials(_first_line(error)) + at_worker(error)


def at_worker(error: BaseException) -> str:
    """Returns the end of a sentence on an error of a worker of `beam.workers`: where it was; empty for any other."""
    return f" (at the worker of {error.address})" if isinstance(error, WorkerError) else ""


def _first_line(error: BaseException) -> str:
    import grpc  # when there is an error only: it takes as long to import as a short command takes to run

    if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call):  # the first line of its text is its class
        return f"{error.code().name}: {' '.join((error.details() or '').split())[:300]}"
    head, worker, report = str(error).rpartition(_TRACEBACK)
    if worker:  # the text of a Beam worker's error: its message is the first unindented line after the traceback
        raised = [line for line in report.splitlines() if line[:1].strip()] or head.splitlines()
        lines = [_BEAM_STEP.sub("", line) for line in raised]
        return lines[0][:300] if lines else type(error).__name__
    lines = [_BEAM_STEP.sub("", line.strip()) for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def sentence(error: Exception) -> str:
    """Returns an error as one sentence for the user, without the credentials of a URL."""
    return without_credentials(_sentence(error))


def _sentence(error: Exception) -> str:
    if isinstance(error, UserError):
        return _BEAM_STEP.sub("", str(error))
    if isinstance(error, click.ClickException):
        context = error.ctx if isinstance(error, click.UsageError) else None
        return error.format_message() + (f" (`{context.command_path} --help` lists the options)" if context else "")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        place = f" of {error.filename}" if error.filename else ", or the user's quota is used up"
        return f"no space left on the disk{place}; free some space, then give the same command again"
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    return f"{_first_line(error)}{at_worker(error)} (`--debug` shows the traceback)"


def notes(error: BaseException) -> list[str]:
    """Returns what was added to an error, and to the one that it replaces: sentences beside its own."""
    return [note for each in (error, error.__cause__) for note in getattr(each, "__notes__", ())]
