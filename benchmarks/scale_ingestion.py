"""Measures ingestion's processor time: `python -m benchmarks.scale_ingestion [NUM_IMPRESSIONS [FORMAT ...]]`.

A simulated day with all joins, labels from installs, quarantine and counts. One impression in a hundred is bad: in
Parquet files it has no request, in other files one half of these has no request, and one half is damaged. For CSV,
TFX's CsvExampleGen is measured in the same run, on the impressions without the damaged lines, at which it stops; it has
no joins, labels or quarantine. Each ingests a small day first, which does not count. Prints the largest size of the
folder of exchanged files too.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tensorflow as tf

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts
from tfx.v1.components import CsvExampleGen  # of the public API

from benchmarks.machine import processor_model
from components.artifact_types import Catalog, Quarantine
from components.ingestion.component import ImpressionExampleGenExecutor
from components.ingestion.counts import read_counts
from components.ingestion.spans import resolve_span
from pipeline.beam_options import LOCAL_BEAM_ARGS
from pipeline.simulator import simulate
from pipeline.simulator.writers import write_part
from transform.config.component_configs import for_ingestion
from transform.config.component_settings import IngestionSettings
from transform.config.config_file import load_config
from transform.files.tfrecords import read_records

NUM_IMPRESSIONS, IMPRESSIONS_PER_USER, NUM_APPS = 200_000, 10, 5_000
FORMATS = ("csv", "parquet", "jsonl", "tfrecord")
ROWS_PER_BAD_ROW = 100

#: The first impression of a file that has no request, and the first line or record that is damaged, from 0.
WITHOUT_REQUEST, DAMAGED = 7, 107

#: What damages a line of CSV.
ONE_FIELD_MORE = b",one field more"

#: The impressions of the day that does not count, in which each ingestion imports modules and starts threads.
NUM_OF_WARM_UP = 2_000


def config_of(file_format: str) -> IngestionSettings:
    """Returns the simulated store's config for logs of a format."""
    raw = json.loads(for_ingestion(load_config("configs/app_store.yaml")).to_json())
    raw["sources"] = json.loads(json.dumps(raw["sources"]).replace("csv", file_format))
    raw["ingestion"]["max_rejected_fraction"] = 2 / ROWS_PER_BAD_ROW
    return IngestionSettings.from_json(json.dumps(raw))


def write_day(folder: Path, num_impressions: int, file_format: str) -> None:
    """Simulates a day; every hundredth impression is bad, so that it is rejected: without a request, or damaged."""
    users = num_impressions // IMPRESSIONS_PER_USER
    simulate(
        folder, num_days=1, impressions_per_day=num_impressions, format="parquet", num_users=users, num_apps=NUM_APPS
    )
    for path in sorted(folder.glob("*/day-*/part-*.parquet")):
        rows, part = pq.read_table(path), int(path.stem.removeprefix("part-"))
        if path.parent.parent.name == "impressions":
            every = ROWS_PER_BAD_ROW if file_format == "parquet" else 2 * ROWS_PER_BAD_ROW
            is_bad = pa.array(np.arange(len(rows)) % every == WITHOUT_REQUEST)
            column = pc.if_else(is_bad, pa.scalar(None, pa.string()), rows["request_id"].combine_chunks())
            rows = rows.set_column(rows.column_names.index("request_id"), "request_id", column)
        path.unlink()
        written = write_part(rows, path.parent, part, file_format, compress=False)
        if path.parent.parent.name == "impressions" and file_format in DAMAGE:
            DAMAGE[file_format](written)


def damage_lines(path: Path) -> None:
    """Damages lines: those of JSON lose their last two bytes, and those of CSV get one field more."""
    lines = path.read_bytes().splitlines()
    for at in range(DAMAGED, len(lines), 2 * ROWS_PER_BAD_ROW):
        lines[at] = lines[at][:-2] if path.suffix == ".jsonl" else lines[at] + ONE_FIELD_MORE
    path.write_bytes(b"\n".join(lines) + b"\n")


def damage_records(path: Path) -> None:
    """Cuts the last two bytes of records, so that they are no examples."""
    records = list(read_records(str(path)))
    with tf.io.TFRecordWriter(str(path)) as writer:
        for at, record in enumerate(records):
            writer.write(record[:-2] if at % (2 * ROWS_PER_BAD_ROW) == DAMAGED else record)


#: What damages impressions, by format. A Parquet file has no damaged rows: what damages it, damages all of it.
DAMAGE = {"csv": damage_lines, "jsonl": damage_lines, "tfrecord": damage_records}


class PeakSize:
    """The largest size of a folder's files while this context is open; looks every 50 ms.

    Attributes:
      num_bytes: The size, in bytes.
      seconds: The processor time of looking, in seconds.
    """

    def __init__(self, folder: Path):
        self.num_bytes = 0
        self.seconds = 0.0
        self._folder = folder
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> PeakSize:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            self.num_bytes = max(self.num_bytes, self._size())
        self.seconds = time.thread_time()

    def _size(self) -> int:
        size = 0
        for parent, _, names in os.walk(self._folder):
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # removed since it was listed
                    size += os.stat(os.path.join(parent, name)).st_size
        return size


@dataclasses.dataclass(frozen=True)
class Measured:
    """An ingestion.

    Attributes:
      seconds: Its processor time.
      num_examples: The number of examples that it wrote.
      reported: What else is printed about it.
    """

    seconds: float
    num_examples: int
    reported: str = ""


def in_batches(config: IngestionSettings, data: Path, out: Path) -> Measured:
    """Runs the component's executor."""
    found = resolve_span(config, str(data))
    artifacts = {"examples": standard_artifacts.Examples(), "quarantine": Quarantine(), "catalog": Catalog()}
    for name, artifact in artifacts.items():
        artifact.uri = str(out / name)
        (out / name).mkdir(parents=True)
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=list(LOCAL_BEAM_ARGS), tmp_dir=str(out / "tmp"), unique_id="1"
    )
    properties = {"config": config.to_json(), "files": json.dumps(found.files), "requested_span": found.span}
    with PeakSize(out / "tmp") as exchanged:
        start = time.process_time()
        ImpressionExampleGenExecutor(context).Do({}, {name: [a] for name, a in artifacts.items()}, properties)
        seconds = time.process_time() - start
    counts = read_counts(artifacts["quarantine"].uri)
    logs = sum(
        os.path.getsize(path) for by_split in found.files.values() for paths in by_split.values() for path in paths
    )
    reported = (
        f"{counts.num_rejected:,} impressions rejected; exchanged files of {exchanged.num_bytes / 1e6:.1f} MB, logs of "
        f"{logs / 1e6:.1f} MB"
    )
    return Measured(seconds - exchanged.seconds, sum(counts.num_examples.values()), reported)


def csv_example_gen(data: Path, out: Path) -> Measured:
    """Runs TFX's CsvExampleGen on the impressions, without the damaged lines."""
    logs, examples = out / "impressions", standard_artifacts.Examples()
    logs.mkdir()
    for path in sorted(data.glob("impressions/day-*/part-*.csv")):
        lines = path.read_bytes().splitlines(keepends=True)
        (logs / path.name).write_bytes(b"".join(line for line in lines if not line.endswith(ONE_FIELD_MORE + b"\n")))
    examples.uri = str(out / "csv_examples")
    component = CsvExampleGen(input_base=str(logs))
    context = base_beam_executor.BaseBeamExecutor.Context(beam_pipeline_args=list(LOCAL_BEAM_ARGS))
    start = time.process_time()
    component.executor_spec.executor_class(context).Do({}, {"examples": [examples]}, component.exec_properties)
    seconds = time.process_time() - start
    return Measured(seconds, num_records(Path(examples.uri)))


def num_records(folder: Path) -> int:
    """Counts the records of the compressed TFRecord files below a folder."""
    written = tf.data.TFRecordDataset([str(path) for path in folder.rglob("*.gz")], "GZIP")
    return int(written.reduce(np.int64(0), lambda number, _: number + 1))


def compare(number: int, file_format: str) -> dict[str, Measured]:
    """Ingests a simulated day.

    Args:
      number: The day's number of impressions.
      file_format: The format of its logs.

    Returns:
      The project's ingestion, `on batches`; for CSV, TFX's too.
    """
    with tempfile.TemporaryDirectory() as folder:
        root, config = Path(folder), config_of(file_format)
        write_day(root / "data", number, file_format)
        found = {"on batches": in_batches(config, root / "data", root / "out")}
        stock = {"CsvExampleGen": csv_example_gen(root / "data", root / "out")} if file_format == "csv" else {}
    return found | stock


def main() -> None:
    """Prints impressions per processor second for each format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("number", nargs="?", type=int, default=NUM_IMPRESSIONS, help="of impressions")
    parser.add_argument(
        "formats", nargs="*", metavar="format", help=f"of the logs: {', '.join(FORMATS)}; all by default"
    )
    arguments = parser.parse_args()
    number = arguments.number
    print(f"{number:,} impressions, 1 in {ROWS_PER_BAD_ROW} bad; {processor_model()}")
    for file_format in arguments.formats or FORMATS:
        compare(NUM_OF_WARM_UP, file_format)
        for name, found in compare(number, file_format).items():
            speed = f"{number / found.seconds:>9,.0f} impressions/s ({found.seconds:.1f} s)"
            print(f"{file_format:9} {name:13} {speed}, {found.num_examples:,} examples", flush=True)
            if found.reported:
                print(f"    {found.reported}", flush=True)


if __name__ == "__main__":
    main()
