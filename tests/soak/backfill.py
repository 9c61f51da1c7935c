"""Missed days that are caught up on, compared with the same days run on time.

    python -m tests.soak.backfill [--days 5]

On time, a day's run does not have the logs of later days; when catching up, all logs are present. Exits with code 1 if
a day is not pushed, does not start from the model of the day before, or gives another result than on time.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.cli.options import quiet_imports
from tests.e2e import store
from tests.e2e.bad_store import in_process

with quiet_imports():
    from tests.soak.same_days import differences, report_of, unchained

SOURCES = ("catalog", "users", "installs", "impressions")


def arrive(logs: Path, data: Path, span: int) -> None:
    """Makes a day's logs appear in a store's folder, the impressions last."""
    for source in SOURCES:
        shutil.copytree(logs / source / f"day-{span}", data / source / f"day-{span}")


def run(folder: Path, num_missed: int) -> tuple[Path, Path]:
    """Runs a first day and some more, once on time and once caught up on.

    Args:
      folder: A folder for everything.
      num_missed: The number of missed days after the first.

    Returns:
      The two workspaces: of the runs on time, and of the first day's run plus one `wdr run --backfill`.
    """
    spans = range(1, num_missed + 2)
    logs, data = store.simulate(folder / "logs", days=len(spans)), folder / "data"
    on_time, caught_up = folder / "on-time", folder / "caught-up"
    for span in spans:
        arrive(logs, data, span)
        _ok(*store.run_arguments(data, on_time, span))
        if span == 1:  # TFX stores absolute paths: it reads the first day's artifacts in the original place
            store.copy_of(on_time, caught_up)
    missed = f"2..{spans[-1]}"
    _ok("run", store.CONFIG, "--data", data, "--workspace", caught_up, "--backfill", missed)
    return on_time, caught_up


def _ok(*arguments: str | Path) -> None:
    done = in_process(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def problems(on_time: Path, caught_up: Path, num_missed: int) -> list[str]:
    """The violated requirements, one sentence each."""
    spans = range(1, num_missed + 2)
    found = unchained(on_time, spans) + unchained(caught_up, spans)
    return found + [words for span in spans for words in differences(span, on_time, caught_up)]


def table_of(on_time: Path, caught_up: Path, num_missed: int) -> Table:
    """The days as a table."""
    table = Table("span", "version", "rows", "AUC on time", "AUC caught up")
    for span in range(1, num_missed + 2):
        first, second = (report_of(workspace, span) or {} for workspace in (on_time, caught_up))
        table.add_row(
            str(span), str(second["version"]), f"{second['counts']['read']['impressions']:,}",
            f"{first['metrics']['auc']:.6f}", f"{second['metrics']['auc']:.6f}",
        )  # fmt: skip
    return table


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--days", type=int, default=5, help="How many days were missed.")
    options = parser.parse_args()
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        workspaces = run(Path(folder), options.days)
        found = problems(*workspaces, options.days)
        console.print(table_of(*workspaces, options.days))
    for problem in found:
        console.print(f"[red]{problem}[/red]")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
