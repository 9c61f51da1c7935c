"""Kills exports, each at another moment: python -m tests.pipeline.log_export.killed FOLDER

A moment is before a file is opened, renamed or removed, or a folder made, below `FOLDER`. A child of this process is
the export, and ends itself there as by `kill -9`. After each, this process reads what is there as ingestion does, and
then exports to the end. It prints the number of moments, and a line for each at which anything was wrong.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from components.ingestion.served.exported import export_records
from pipeline.log_export.export import export_log
from tests.components.ingestion.served_logs import served_config
from tests.pipeline.log_export.stores import catalogs

_EVENTS = frozenset({"open", "os.rename", "os.remove", "os.mkdir"})


def export(folder: Path) -> None:
    """Exports `log` into `out`."""
    key = str(folder / "log.key")
    export_log(served_config(), [str(folder / "log")], str(folder / "out"), catalogs, key)


def killed_at(folder: Path, moment: int) -> bool:
    """Exports in a child that is killed at a moment, from 1; returns whether it was, and did not end before."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    left = moment

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in _EVENTS and str(arguments[0]).startswith(str(folder / "out")):
            left -= 1
            if not left:
                os.kill(os.getpid(), 9)

    sys.addaudithook(hook)
    export(folder)
    os._exit(0)


def found(folder: Path) -> str:
    """Returns what the records of exports name, and whether all of it is whole: empty, or `whole`."""
    records = export_records(str(folder / "out")) if (folder / "out").exists() else []
    names = [name for record in records for name in record.written]
    sizes = [os.path.getsize(folder / "out" / name) for name in names]
    heads = [(folder / "out" / name).read_bytes()[-4:] for name in names]
    return "" if not names else "whole" if all(sizes) and all(head == b"PAR1" for head in heads) else "half"


def main(folder: Path) -> None:
    """Kills an export at each of its moments."""
    moment = 1
    while killed_at(folder, moment):
        before = found(folder)
        child = os.fork()  # so that no thread of pyarrow's is in this process, which forks again
        if not child:
            export(folder)
            (record,) = export_records(str(folder / "out"))
            files = {path.relative_to(folder / "out").as_posix() for path in (folder / "out").glob("*-*-*/*")}
            is_right = (record.num_requests, record.num_events) == (3, 2) and files == set(record.written)
            os._exit(0 if is_right else 1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if before not in ("", "whole") or code or found(folder) != "whole":
            print(f"moment {moment}: {before or 'nothing'} was there, then {found(folder)}, exit code {code}")
        shutil.rmtree(folder / "out")
        moment += 1
    print(f"{moment - 1} moments")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
