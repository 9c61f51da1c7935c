"""Compares this code with an earlier release: the same logs must give the same artifacts, scores and verdicts.

    python -m tests.soak.two_releases --earlier CHECKOUT [--frappe DIR] [--days 3] [--only store]

CHECKOUT is a checkout of the earlier release with its environment in `.venv` (`make setup`). Both releases run the same
configs on the same logs, each in a workspace of its own: the shipped store, Frappe (with `--frappe`, the folder of its
files), and three hostile logs: rows that break a rule, each among good ones; and the small store's logs with a byte in
fifty rows changed, as CSV and as JSON Lines.

Per span, examples, quarantine, counts and transformed rows must be the same bytes, and the report's numbers the same to
1e-9, apart from what is measured of the machine. Pushed versions must give the same scores to 1e-9. At the end, this
code continues the earlier release's workspace of the store: it runs the next day, warm-started from the last version,
keeps a pin, scores with an earlier version as the earlier release did, and rolls back. Exits with code 1 on a
difference.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import gzip
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

from tests.contents import contents
from tests.e2e import store
from tests.e2e.bad_rows import write_bad_rows

_TOLERANCE = 1e-9

#: The outputs of nodes whose files must be the same bytes.
_SAME_BYTES = (
    ("example_gen", "examples"),
    ("example_gen", "quarantine"),
    ("transform", "transformed_examples"),
)

#: Entries of the report that are measured of the machine, or name the workspace.
_OF_THE_MACHINE = re.compile(r"seconds|per_second|latency|_mb$|places|warm_started_from|resumed_at|budget")

#: The longest value in a sentence, in characters.
_MAX_SHOWN = 200

#: Scored rows of each case's last span.
_NUM_SCORED = 500


@dataclasses.dataclass(frozen=True)
class Release:
    """A release's code.

    Attributes:
      name: Its name in folders and sentences.
      root: Its checkout.
      python: The interpreter of its environment.
    """

    name: str
    root: Path
    python: Path

    def wdr(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Runs `wdr` of the release until it ends."""
        command = [str(self.python), "-m", "pipeline.cli", *map(str, arguments)]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)

    def wdr_ok(self, *arguments: str | Path) -> str:
        """Runs `wdr` of the release, which must succeed; returns its standard output."""
        done = self.wdr(*arguments)
        if done.returncode != 0:
            raise RuntimeError(f"`wdr` of {self.name} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout


@dataclasses.dataclass(frozen=True)
class Case:
    """Logs and their config.

    Attributes:
      name: What stands in the table.
      config: The config's file.
      data: The logs' folder.
      spans: The spans, ascending; (None,) for logs without spans.
      scored: The file of rows to score, below `data`.
    """

    name: str
    config: Path
    data: Path
    spans: tuple[int | None, ...]
    scored: Path

    def run_arguments(self, workspace: Path, span: int | None) -> list[str | Path]:
        """The arguments of `wdr run`."""
        of_span = [] if span is None else ["--span", str(span)]
        return ["run", self.config, "--data", self.data, "--workspace", workspace, *of_span]


def shipped_store(folder: Path, days: int) -> Case:
    """The store of `wdr simulate` with one day more than is compared, by the shipped config that 0.2.0 can read."""
    data, config = folder / "data", folder / "app_store.yaml"
    sections = yaml.safe_load((store.ROOT / "configs" / "app_store.yaml").read_text())
    del sections["sources"]["installs"]["late_labels"], sections["evaluation"]["max_miscalibration"]
    config.write_text(yaml.safe_dump(sections, sort_keys=False))
    store.wdr_ok("simulate", "--out", data, "--days", str(days + 1))
    log = data / "impressions" / f"day-{days}" / "part-00000.csv"
    return Case("store", config, data, tuple(range(1, days + 1)), log)


def frappe(folder: Path) -> Case:
    """Frappe by its config."""
    return Case("frappe", store.ROOT / "configs" / "frappe.yaml", folder, (None,), folder / "valid.csv.gz")


def bad_rows(folder: Path) -> Case:
    """A row for each rule that a row can break, among good ones."""
    made, _ = write_bad_rows(folder)
    return Case("bad rows", made.config_path, made.data, (1,), made.log)


def changed_bytes(folder: Path, file_format: str) -> Case:
    """Two days of the small store, one row in fifty with a random byte in place of one of its own."""
    data, rng = store.simulate(folder / "data", days=2), np.random.default_rng(35)
    sections = yaml.safe_load(store.CONFIG.read_text())
    sections["ingestion"]["max_rejected_fraction"] = 0.2
    for path in sorted(data.rglob("part-*.csv")):
        rows = list(csv.DictReader(path.read_text().splitlines()))
        lines = path.read_bytes().splitlines()
        if file_format == "jsonl":
            lines = [json.dumps(row).encode() for row in rows]
        header = 0 if file_format == "jsonl" else 1
        for at in range(header, len(lines), 50):
            line = bytearray(lines[at])
            line[rng.integers(len(line))] = rng.integers(1, 256)
            lines[at] = bytes(line).replace(b"\n", b" ")
        path.unlink()
        path.with_suffix(f".{file_format}").write_bytes(b"\n".join(lines) + b"\n")
    if file_format == "jsonl":
        sources = sections["sources"]
        for source in (sources["impressions"], sources["installs"], *sources["tables"].values()):
            source.update(path=source["path"].replace(".csv", ".jsonl"), format="jsonl")
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(sections, sort_keys=False))
    log = data / "impressions" / "day-2" / f"part-00000.{file_format}"
    return Case(f"changed bytes, {file_format}", config, data, (1, 2), log)


def newest(workspace: Path, node: str, output: str) -> Path | None:
    """The folder of a node's newest output; None if there is none."""
    folder = workspace / "artifacts" / node / output
    return max(folder.iterdir(), key=lambda path: int(path.name), default=None) if folder.is_dir() else None


def different_files(before: Path, now: Path) -> Iterator[str]:
    """The outputs of `_SAME_BYTES` whose newest files differ between two workspaces, one sentence each."""
    for node, output in _SAME_BYTES:
        expected, received = (
            contents(found) if (found := newest(workspace, node, output)) else {} for workspace in (before, now)
        )
        names = [name for name in sorted({*expected, *received}) if expected.get(name) != received.get(name)]
        if names or not expected:
            yield f"{output} of {node} must be the same, not empty files. Different: {', '.join(names) or 'none exist'}"


def different_values(before: Any, now: Any, where: str = "") -> Iterator[str]:
    """The entries in which two JSON values differ, numbers by more than 1e-9, one sentence each."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted({*before, *now}):
            if not _OF_THE_MACHINE.search(name):
                yield from different_values(before.get(name), now.get(name), f"{where}.{name}" if where else name)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for at, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from different_values(old, new, f"{where}[{at}]")
    elif isinstance(before, float) and isinstance(now, float):
        both_nan = math.isnan(before) and math.isnan(now)
        if not both_nan and not math.isclose(before, now, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
            yield f"{where} must be {before!r}. Received: {now!r}"
    elif before != now:
        yield f"{where} must be {str(before)[:_MAX_SHOWN]}. Received: {str(now)[:_MAX_SHOWN]}"


def last_report(workspace: Path) -> dict[str, Any]:
    """The newest report, with the workspace's path replaced."""
    text = max((workspace / "reports").glob("*.json"), key=lambda path: path.stat().st_mtime_ns).read_text()
    report: dict[str, Any] = json.loads(text.replace(str(workspace), "WORKSPACE"))
    return report


def last_version(workspace: Path) -> Path | None:
    """The folder of the version that serves; None if nothing was pushed."""
    found = [path for path in (workspace / "serving").glob("*/*") if path.name.isdecimal()]
    return max(found, key=lambda path: int(path.name), default=None)


def scores(release: Release, case: Case, version: Path, out: Path) -> list[float]:
    """The scores that a release's `wdr score` gives the case's rows."""
    rows = out / f"rows{''.join(case.scored.suffixes)}"
    opened = gzip.open if case.scored.suffix == ".gz" else open
    with opened(case.scored, "rb") as source, opened(rows, "wb") as taken:
        taken.writelines(line for _, line in zip(range(_NUM_SCORED), source, strict=False))
    span = [] if case.spans[-1] is None else ["--span", str(case.spans[-1])]
    to = out / f"scores-{release.name}.csv"
    release.wdr_ok("score", "--model", version, "--input", rows, "--output", to, "--data", case.data, *span)
    with to.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [float(row["score"]) for row in csv.DictReader(file) if row["score"]]


def compare(case: Case, earlier: Release, this: Release, folder: Path) -> list[str]:
    """Runs a case with both releases; returns the differences, one sentence each."""
    found: list[str] = []
    workspaces = {release.name: folder / release.name for release in (earlier, this)}
    for span in case.spans:
        codes = {r.name: r.wdr(*case.run_arguments(workspaces[r.name], span)).returncode for r in (earlier, this)}
        before, now = map(last_report, workspaces.values())
        if len(set(codes.values())) > 1:
            reasons = [report["reason"] for report in (before, now)]
            return [*found, f"span {span}: the exit codes must be the same. Received: {codes}, {reasons}"]
        found += [f"span {span}: {sentence}" for sentence in different_files(*workspaces.values())]
        found += [f"span {span}: {sentence}" for sentence in different_values(before, now)]
    versions = [last_version(workspace) for workspace in workspaces.values()]
    if None in versions:
        return [*found, f"both must push a version. Received: {versions}"]
    expected, received = (
        np.array(scores(release, case, version, folder))
        for release, version in zip((earlier, this), versions, strict=True)
        if version is not None
    )
    if len(expected) == 0 or len(expected) != len(received):
        found.append(f"as many scores must be there. Received: {len(expected)} and {len(received)}")
    elif (largest := float(np.abs(expected - received).max())) > _TOLERANCE:
        found.append(f"scores must be the same to {_TOLERANCE}. Largest difference: {largest}")
    return found


def continued(case: Case, earlier: Release, this: Release, workspace: Path, out: Path) -> list[str]:
    """Continues the earlier release's workspace with this code; returns what is wrong, one sentence each."""
    assert case.spans[-1] is not None
    serving = workspace / "serving"
    (name,) = [path.name for path in serving.iterdir() if path.is_dir()]
    first, last = 1, max(int(path.name) for path in (serving / name).iterdir() if path.name.isdecimal())
    earlier.wdr_ok("models", "pin", str(first), "--workspace", workspace, "--reason", "a reason to keep it")
    expected = scores(earlier, case, serving / name / str(first), out)
    found = []
    if scores(this, case, serving / name / str(first), out) != expected:
        found.append(f"version {first} must score as by the earlier release")
    this.wdr_ok(*case.run_arguments(workspace, case.spans[-1] + 1))
    report = last_report(workspace)
    if report["version"] != last + 1 or report["training"]["warm_started_from"] is None:
        found.append(f"the next day must push version {last + 1}, warm-started. Received: {report['version']}")
    if "a reason to keep it" not in this.wdr_ok("models", "list", "--workspace", workspace):
        found.append("the pin must be listed")
    this.wdr_ok("models", "rollback", "--workspace", workspace, "--to", str(first), "--reason", "a test")
    if scores(this, case, serving / name / str(last + 2), out) != expected:
        found.append(f"version {last + 2}, the rollback, must score as version {first}")
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--earlier", type=Path, required=True, help="a checkout with an environment in .venv")
    parser.add_argument("--frappe", type=Path, help="the folder of Frappe's files; without it, Frappe is left out")
    parser.add_argument("--days", type=int, default=3, help="of the shipped store")
    parser.add_argument("--only", default="", help="the cases whose names begin so")
    options = parser.parse_args()
    earlier = Release("earlier", options.earlier.resolve(), options.earlier.resolve() / ".venv" / "bin" / "python")
    this = Release("this", store.ROOT, Path(sys.executable))
    cases: dict[str, Callable[[Path], Case]] = {
        "store": lambda folder: shipped_store(folder, options.days),
        "bad rows": bad_rows,
        "changed bytes, csv": lambda folder: changed_bytes(folder, "csv"),
        "changed bytes, jsonl": lambda folder: changed_bytes(folder, "jsonl"),
        **({"frappe": lambda _: frappe(options.frappe.resolve())} if options.frappe else {}),
    }
    console, table, failed = Console(highlight=False), Table("case", "result"), False
    for name, make in cases.items():
        if not name.startswith(options.only):
            continue
        folder = Path(tempfile.mkdtemp())
        (folder / "case").mkdir()
        case = make(folder / "case")
        found = compare(case, earlier, this, folder)
        if name == "store":
            found += continued(case, earlier, this, folder / "earlier", folder)
        for sentence in found:
            console.print(f"{name}: {sentence}", style="red", markup=False)
        table.add_row(name, f"{len(found)} differences" if found else "the same")
        failed |= bool(found)
        shutil.rmtree(folder)
    console.print(table)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
