"""Options and helpers shared by the commands of `wdr`."""

from __future__ import annotations

import contextlib
import gc
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from transform.files.version_layout import SAVED_MODEL_FILE, find_model_folders

if TYPE_CHECKING:
    from transform.config.config import Config

#: Exit code of a node, and of a backfill, that skips a span: a gate on data stopped it, or its logs are missing or of
#: no use. The next run builds on the last good span. Airflow's BashOperator treats this code as "skipped".
SKIPPED = 99

#: The most versions that a message names.
_MAX_VERSIONS = 5

DEBUG_HELP = "Show the traceback of an error."

WORKSPACE = click.option(
    "--workspace",
    required=True,
    envvar="WDR_WORKSPACE",
    type=click.Path(file_okay=False),
    help="The workspace: the folder for everything that runs produce.",
)

DATA = click.option(
    "--data", required=True, type=click.Path(exists=True, file_okay=False), help="The folder that holds the logs."
)


class PushedVersion(click.Path):
    """The folder of a pushed version; a mistake names the versions that there are nearby."""

    def __init__(self) -> None:
        super().__init__(file_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the path; raises BadParameter if it is no version's."""
        path = str(value)
        if os.path.isfile(os.path.join(path, SAVED_MODEL_FILE)):
            return path
        there = [
            os.path.join(folder, str(number))
            for folder, numbers in find_model_folders(path).items()
            for number in numbers[-_MAX_VERSIONS:]
        ]
        known = f"; there are {', '.join(there[:_MAX_VERSIONS])}" if there else ", and there is none nearby"
        return self.fail(f"must be the folder of a pushed version. Received: {path}{known}", param, ctx)


ACCEPT_SPAN = click.option(
    "--accept-span", is_flag=True, help="Accept this span although a gate on data stops it; requires --reason."
)

REASON = click.option("--reason", default="", help="The reason for overriding a gate; it is recorded.")

LOG_LEVEL = click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    help="The least severe messages in the log.",
)

AS_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON, and everything else to standard error."
)

SPAN = click.option("--span", type=click.IntRange(min=0), help="The span, such as a day; by default the latest.")

PLAIN = click.option(
    "--plain",
    is_flag=True,
    help="Read a csv or tsv file in its format's usual form, not by the log's `text` settings.",
)


def read_config(path: str) -> Config:
    """Reads a config file."""
    from transform.config.config_file import load_config

    return load_config(path)


def read_keys(path: str) -> dict[str, Any]:
    """Reads the keys that a config file has, as they are written."""
    from transform.config.config_file import parse_yaml, read_text

    return parse_yaml(read_text(path), path)


def print_document(found: Any) -> None:
    """Prints what a command found as JSON: a dataclass with a `schema_version` (`transform.documents`)."""
    from transform.documents import Document

    click.echo(Document(type(found), type(found).__name__).to_json(found), nl=False)


def needed_reason(reason: str, overruling: Mapping[str, bool]) -> str:
    """Returns the reason for overruling a gate, without surrounding white space; empty if no gate is overruled.

    Args:
      reason: The text of `--reason`.
      overruling: For each option that overrules a gate, whether it was given.

    Raises:
      click.UsageError: If a reason is given without such an option, or such an option without a reason.
    """
    reason, options = reason.strip(), " or ".join(f"`{option}`" for option in overruling)
    if any(overruling.values()) != bool(reason):
        raise click.UsageError(
            f"{options} and `--reason TEXT` must be given together: overriding a gate requires a reason"
        )
    return reason


def accepting(command: Sequence[str], span: int | None) -> str:
    """Returns the command that lets a span through, on record, which a gate on data stopped.

    Args:
      command: The words of the command that was stopped, without the span.
      span: The span; None if the logs have no spans.
    """
    of_span = [] if span is None else ["--span", str(span)]
    return shlex.join([*command, *of_span, "--accept-span", "--reason", "TEXT"])


class Group(click.Group):
    """A group that adds `--debug` to each of its commands: users append it to the command line that failed."""

    group_class = type

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        cmd.params.append(click.Option(["--debug"], is_flag=True, expose_value=False, help=DEBUG_HELP))
        super().add_command(cmd, name)


@contextlib.contextmanager
def uncollected_imports() -> Iterator[None]:
    """Keeps garbage collection from scanning modules while they are imported; at the first call, from then on too.

    Imported modules stay in memory. Scanning them takes a quarter of the start-up time, and a part of each full
    collection later.
    """
    gc.disable()
    try:
        yield
        if not gc.get_freeze_count():  # only once in a process, as later there is garbage that must be found
            gc.freeze()
    finally:
        gc.enable()


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Hides TensorFlow's start-up messages; prints them if an import fails. It includes `uncollected_imports`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # for later messages, at TensorFlow's first use
    sys.stderr.flush()
    saved = os.dup(2)
    with uncollected_imports(), tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
            if "tensorflow" in sys.modules:
                sys.modules["tensorflow"].config.list_physical_devices()  # looks for a GPU now, and prints messages
        except BaseException:
            notes.seek(0)
            os.write(saved, notes.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
