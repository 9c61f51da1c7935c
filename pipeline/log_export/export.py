"""`wdr export-log`: sealed files of the serving log become Parquet by hour, each once, all or nothing.

An export reads the sealed files that no record of an export names. It writes Parquet files, which nobody reads yet,
and last, by a rename, its record, which names them: so a kill at any moment leaves either the whole export or none of
it. The next export removes the files of one that was stopped.
"""

from __future__ import annotations

import collections
import datetime
import itertools
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout

from components import storage
from components.ingestion.served.exported import (
    EXPORT_RECORD,
    EXPORTS,
    ExportRecord,
    ReadFile,
    export_records,
    record_path,
)
from pipeline.log_export.event_rows import MAX_LINE_BYTES, EventRows, EventTuple, filed_events, posted_events
from pipeline.log_export.hourly_files import HourlyFiles
from pipeline.log_export.logged_candidates import CandidateRows, Catalogs
from serving.serving_log.counters import DROPPED
from serving.serving_log.events import EVENTS_FOLDER
from serving.serving_log.folder import accounts, close_accounts, sealed_files
from serving.serving_log.reader import ReadCounts, read_payloads, read_records
from serving.serving_log.request_ids import RequestIds, read_keys
from transform.config.component_settings import DataSettings
from transform.errors import UserError

#: The requests, and the events, that are turned into rows at once.
REQUESTS_AT_ONCE, EVENTS_AT_ONCE = 2_000, 100_000

_EVENTS_END = ".jsonl"

_Item = TypeVar("_Item")


def export_log(
    config: DataSettings,
    logs: Sequence[str],
    out: str,
    catalogs: Catalogs,
    key_file: str | None = None,
    events: Sequence[str] = (),
) -> ExportRecord | None:
    """Exports what is new in the log's folders; its memory grows with the requests that it exports, by their ids.

    Args:
      config: The config, whose features are exported.
      logs: The log's folders; what callers posted is in a folder `events` of each.
      out: The folder to export to.
      catalogs: Where the features of an item are that was sent by id.
      key_file: The file of the keys of the requests' ids; without it, no event is told to be forged.
      events: Folders of further events, as `.jsonl` files.

    Returns:
      The export's record; None if nothing is new.

    Raises:
      UserError: If another export into the folder is running.
      InputError: If the file of keys has none, or a record of an export is damaged.
      OSError: If a file cannot be read or written.
    """
    folder = Path(out)
    (folder / EXPORTS).mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / EXPORTS / ".lock")
    try:
        with lock.acquire(blocking=False):
            return _export(config, logs, folder, catalogs, key_file, events)
    except Timeout as error:
        raise UserError(f"a folder takes one export at a time, and another is running ({out})") from error


def _export(
    config: DataSettings,
    logs: Sequence[str],
    folder: Path,
    catalogs: Catalogs,
    key_file: str | None,
    events: Sequence[str],
) -> ExportRecord | None:
    are_ours = None if key_file is None else RequestIds(read_keys(key_file)).are_ours
    records = export_records(str(folder))
    _remove_remains(folder, {name for record in records for name in record.written})
    skipped: collections.Counter[str] = collections.Counter()
    of_events = [path for log in logs if os.path.isdir(path := os.path.join(log, EVENTS_FOLDER))]
    lost: dict[str, int] = {}
    for log in (*logs, *of_events):
        close_accounts(log)
        lost |= {writer: sum(counts[name] for name in (*DROPPED, "lost")) for writer, counts in accounts(log).items()}
    known = {file.name: file.num_bytes for record in records for file in record.read}
    new = _NewFiles(known, skipped)
    requests = new.of(path for log in logs for path in sealed_files(log))
    posted = new.of(path for log in of_events for path in sealed_files(log))
    filed = new.of(str(path) for of in events for path in sorted(Path(of).iterdir()) if path.name.endswith(_EVENTS_END))
    if not new.read:
        return None
    export = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    files = HourlyFiles(folder, export)
    counts = ReadCounts()
    rows = CandidateRows(config, catalogs)
    ids: list[str] = []
    times: list[float] = []
    samples: set[float] = set()
    num_candidates = num_events = 0
    for some in _batched(read_records(requests, counts), REQUESTS_AT_ONCE):
        ids += [record.request_id for record in some]
        times += [record.time_micros / 1e6 for record in some]
        samples |= {record.sample for record in some}
        table = rows.table(some)
        num_candidates += len(table)
        files.write("impressions", table, np.asarray(table["timestamp"].cast(pa.int64())) / 1e6)
    skipped.update(rows.skipped)
    to_rows = EventRows(are_ours, pa.table({"id": ids, "time": np.array(times, np.float64)}), max(samples, default=1.0))
    event_counts = ReadCounts()
    payloads = (payload for path in posted for payload in read_payloads(path, event_counts))
    found: Iterator[EventTuple] = itertools.chain(
        posted_events(payloads, skipped), filed_events(_lines(filed), skipped, time.time())
    )
    for events_at_once in _batched(found, EVENTS_AT_ONCE):
        event_table, filed_by = to_rows.table(events_at_once)
        num_events += len(event_table)
        files.write("events", event_table, filed_by)
    skipped.update(to_rows.skipped)
    for counted in (counts, event_counts):
        skipped.update({name: n for name, n in vars(counted).items() if name != "records" and n})
    record = ExportRecord(
        read=new.read,
        written=files.close(),
        num_requests=len(ids),
        num_candidates=num_candidates,
        num_events=num_events,
        skipped={reason: number for reason, number in sorted(skipped.items()) if number},
        lost={writer: number for writer, number in sorted(lost.items()) if number},
    )
    storage.write_text(record_path(str(folder), export), EXPORT_RECORD.to_json(record))
    return record


class _NewFiles:
    """Chooses the files that no export has read.

    Args:
      known: The sizes of those that one has read, by name.
      skipped: Is added to.

    Attributes:
      read: The chosen files.
    """

    def __init__(self, known: dict[str, int], skipped: collections.Counter[str]):
        self._known, self._skipped = known, skipped
        self.read: list[ReadFile] = []

    def of(self, paths: Iterable[str]) -> list[str]:
        """Returns those of some files that are new; a known one of another size is counted, and not read again."""
        chosen = []
        for path in paths:
            name, num_bytes = os.path.basename(path), os.path.getsize(path)
            if name not in self._known:
                self._known[name] = num_bytes
                self.read.append(ReadFile(name, num_bytes, storage.sha256(path)))
                chosen.append(path)
            elif self._known[name] != num_bytes:
                self._skipped["changed_files"] += 1
        return chosen


def _remove_remains(folder: Path, written: set[str]) -> None:
    """Removes the files of exports that were stopped."""
    for path in folder.glob("????-??-??/*.parquet"):
        if path.relative_to(folder).as_posix() not in written:
            path.unlink()
    for path in (folder / EXPORTS).glob("*.part"):
        path.unlink()


def _lines(paths: Iterable[str]) -> Iterator[bytes]:
    """Yields the lines of files; of one that is too long, pieces that are too long, too."""
    for path in paths:
        with open(path, "rb") as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                yield line


def _batched(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    rest = iter(items)
    while some := list(itertools.islice(rest, size)):
        yield some
