"""A workspace written by an earlier release, which later code must continue.

Usage: `python -m tests.e2e.earlier_workspace ARCHIVE`

The archive is created once with a release's code and then kept in the tests. It holds a small store's first days:

* span 1 was pushed as version 1, span 2 as version 2, which is pinned;
* version 2 was rolled back: version 3 has version 1's files, and serves;
* span 3 was skipped by a gate on data: only one in a hundred of its impressions arrived;
* span 4's model was refused by a threshold and pushed as version 4 with `--force-push`;
* the training of span 5 was killed after its first checkpoint.

The archive has the folders `data/` (five spans and the rows that were scored) and `workspace/`, the configs, and
`expected/`, which has each version's scores of these rows by the release's `wdr score`.
"""

from __future__ import annotations

import argparse
import tarfile
import tempfile
from pathlib import Path

import yaml

from tests.e2e import store
from tests.e2e.bad_store import ok_in_process
from tests.e2e.own_copy import replace_paths
from tests.e2e.prepared_store import read_rows, write_rows

NUM_SPANS = 5
NUM_IMPRESSIONS = 3000
NUM_SCORED = 50

#: The path that stands in the archive for the folder in which the workspace was made.
_MADE_AT = "/made_at"

#: Not archived: later code does not need logs and temporary files.
_LEFT_OUT = ("log", "workspace/logs", "workspace/tmp")


def make(folder: Path) -> None:
    """Runs the days in an empty folder; takes some minutes."""
    data, workspace = folder / "data", folder / "workspace"
    store.simulate(data, days=NUM_SPANS, impressions=NUM_IMPRESSIONS)
    configs = {name: folder / f"{name}.yaml" for name in ("config", "strict", "long")}
    sections = yaml.safe_load(store.CONFIG.read_text())
    configs["config"].write_text(yaml.safe_dump(sections, sort_keys=False))
    strict = {**sections, "evaluation": {**sections["evaluation"], "thresholds": {"auc": {"min": 0.99}}}}
    configs["strict"].write_text(yaml.safe_dump(strict, sort_keys=False))
    long = {**sections, "training": {**sections["training"], "num_epochs": 24, "checkpoint_seconds": 0}}
    configs["long"].write_text(yaml.safe_dump(long, sort_keys=False))

    def arguments(span: int, config: str = "config") -> list[str | Path]:
        return store.run_arguments(data, workspace, span, configs[config])

    store.wdr_ok(*arguments(1))
    store.wdr_ok(*arguments(2))
    store.wdr_ok("models", "pin", "2", "--workspace", workspace, "--reason", "shown to the press")
    store.wdr_ok("models", "rollback", "--workspace", workspace, "--reason", "the second is bad")
    _keep_one_in_a_hundred(data / "impressions" / "day-3" / "part-00000.csv")
    assert store.wdr(*arguments(3)).returncode != 0
    store.wdr_ok(*arguments(4, "strict"))
    store.wdr_ok(*arguments(4, "strict"), "--force-push", "--reason", "the threshold is a typing error")
    assert store.versions(workspace) == [1, 2, 3, 4]
    checkpoints = workspace / "checkpoints"
    store.kill_when(arguments(5, "long"), folder / "log", lambda: any(checkpoints.glob("*/checkpoint")))

    rows = data / "rows.csv"
    write_rows(rows, read_rows(data / "impressions" / "day-5" / "part-00000.csv")[:NUM_SCORED])
    (folder / "expected").mkdir()
    for version in store.versions(workspace):
        score(workspace, version, data, rows, folder / "expected" / f"version-{version}.csv")
    replace_paths(folder, str(folder), _MADE_AT)


def score(workspace: Path, version: int, data: Path, rows: Path, out: Path) -> None:
    """Scores rows with a version, joined with the tables of the last span."""
    model = workspace / "serving" / store.NAME / str(version)
    span = str(NUM_SPANS)
    ok_in_process("score", "--model", model, "--input", rows, "--output", out, "--data", data, "--span", span)


def _keep_one_in_a_hundred(log: Path) -> None:
    write_rows(log, read_rows(log)[::100])


def archive(folder: Path, out: Path) -> None:
    """Packs the folder that `make` has filled."""

    def kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return None if entry.name in _LEFT_OUT else entry

    with tarfile.open(out, "w:xz", preset=9) as file:  # a dictionary larger than all files: each model is there twice
        for path in sorted(folder.iterdir()):
            file.add(path, path.name, filter=kept)


def restore(packed: Path, folder: Path) -> None:
    """Unpacks an archive into an empty folder and adapts its paths, because TFX stores absolute paths."""
    with tarfile.open(packed) as file:
        file.extractall(folder, filter="data")
    replace_paths(folder, _MADE_AT, str(folder))


def main() -> None:
    """Creates the archive."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        archive(Path(folder), arguments.archive)


if __name__ == "__main__":
    main()
