"""What the commands of `wdr` have in common."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping

import click

DEBUG_HELP = "Show the traceback of an error."

WORKSPACE = click.option(
    "--workspace",
    required=True,
    envvar="WDR_WORKSPACE",
    type=click.Path(file_okay=False),
    help="The folder for everything a run makes.",
)

DATA = click.option("--data", required=True, type=click.Path(exists=True, file_okay=False), help="The folder of logs.")

ACCEPT_SPAN = click.option(
    "--accept-span", is_flag=True, help="Let this span through though a gate on data would stop it; needs --reason."
)

REASON = click.option("--reason", default="", help="Why a gate is overruled; it stays on record.")

SPAN = click.option("--span", type=click.IntRange(min=0), help="The span, such as a day; the latest if left out.")


def needed_reason(reason: str, overruling: Mapping[str, bool]) -> str:
    """The reason for which gates are overruled, without the space around it; empty if none is.

    Args:
      reason: As it was given.
      overruling: By option that overrules a gate, whether it was given.

    Raises:
      click.UsageError: If there is a reason without such an option, or such an option without a reason.
    """
    reason, options = reason.strip(), " or ".join(f"`{option}`" for option in overruling)
    if any(overruling.values()) != bool(reason):
        raise click.UsageError(f"{options} and `--reason TEXT` go together: who overrules a gate gives a reason")
    return reason


class Group(click.Group):
    """Commands that all take `--debug` too, since a person adds it at the end of the line that failed."""

    group_class = type

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        cmd.params.append(click.Option(["--debug"], is_flag=True, expose_value=False, help=DEBUG_HELP))
        super().add_command(cmd, name)


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Hides TensorFlow's start-up messages; prints them if an import fails.

    Garbage collection is off meanwhile: imported modules stay in memory, and scanning them takes a quarter of the
    start-up time.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # for the notes that come later, at its first use
    sys.stderr.flush()
    saved = os.dup(2)
    gc.disable()
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
            if "tensorflow" in sys.modules:
                sys.modules["tensorflow"].config.list_physical_devices()  # where it looks for a GPU, and tells
        except BaseException:
            notes.seek(0)
            os.write(saved, notes.read())
            raise
        finally:
            gc.enable()
            os.dup2(saved, 2)
            os.close(saved)
