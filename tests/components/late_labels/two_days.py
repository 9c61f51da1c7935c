"""Random logs of two days, their ingestion, and an oracle in plain Python that sees both days' logs at once."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.late_labels.component import CompleteShards, ShardTask, complete
from components.late_labels.counts import LateCounts
from tests.components.ingestion.ingested import Ingested, ingest, records
from tests.components.ingestion.logs import CATALOG, USERS, Row, impression, store_config, write_rows
from transform.config.config import Config

#: The ends of the two days, the length of the attribution window, and the clocks' skew, in seconds.
ENDS, WINDOW, SKEW = (10_000.0, 20_000.0), 100.0, 5.0


@dataclasses.dataclass(frozen=True)
class Day:
    """The logs of a day."""

    impressions: list[Row]
    installs: list[Row]


def random_day(number: int, seed: int, num_rows: int = 120) -> Day:
    """Returns a day's logs: half of the impressions, and of the installs, are around one of its two ends.

    Two installs without an impression are at the day's very end, which is then its logs' end.
    """
    rng = random.Random(f"{number}/{seed}")
    end = ENDS[number]
    begin = end - ENDS[0]

    def time() -> float:
        if rng.random() < 0.5:
            return rng.uniform(begin, end)
        return rng.choice([rng.uniform(begin, begin + 2 * WINDOW), rng.uniform(end - 2 * WINDOW, end)])

    def key() -> tuple[str, str]:
        return f"u{rng.randrange(4)}", f"a{rng.randrange(4)}"

    times = sorted(time() for _ in range(num_rows))
    shown = [impression(1000 * number + at, *key(), round(time, 3)) for at, time in enumerate(times)]
    installed = [dict(zip(("user", "app"), key(), strict=True), at=round(time(), 3)) for _ in range(num_rows // 2)]
    return Day(shown, [*installed, *({"user": "nobody", "app": "a0", "at": end} for _ in range(2))])


def config_of(**installs: Any) -> Config:
    """Returns the small store's config with late labels."""
    config = store_config("jsonl", ingestion={"eval_fraction": 0.5, "min_impressions": 1})
    assert config.sources.installs is not None
    rule = dataclasses.replace(
        config.sources.installs, leave_out_unknown_labels=True, late_labels=True, clock_skew_seconds=SKEW
    )
    sources = dataclasses.replace(config.sources, installs=dataclasses.replace(rule, **installs))
    return dataclasses.replace(config, sources=sources)


def ingested(config: Config, day: Day, folder: Path, more_installs: Sequence[Row] = ()) -> Ingested:
    """Ingests a day's logs, which are written below the folder; the examples are in `out/examples`."""
    rows = {"impressions": day.impressions, "installs": [*day.installs, *more_installs]}
    for name, of_source in (rows | {"catalog": CATALOG[:3], "users": USERS}).items():
        (folder / "data" / name).mkdir(parents=True)
        write_rows(folder / "data" / name / "part-0.jsonl", "jsonl", of_source)
    return ingest(config, folder / "data", folder / "out")


def look_up_examples(folder: Path) -> dict[str, dict[str, dict[str, list[Any]]]]:
    """Returns the examples of an artifact by split, then by id; no id may occur twice."""
    found = {}
    for split in ("train", "eval"):
        read = records(folder / f"Split-{split}")
        found[split] = {example["impression_id"][0]: example for example in read}
        assert len(found[split]) == len(read)
    return found


def here(work: CompleteShards, tasks: Sequence[ShardTask]) -> None:
    """Completes shards in this process, the last one first: their order decides nothing."""
    complete_shard = work.begin()
    for task in reversed(tasks):
        complete_shard(task)


def completed(config: Config, first: Path, second: Path, out: Path) -> tuple[dict[str, Any], LateCounts]:
    """Completes the first day's tail by the second day, both ingested; returns the examples by split and the counts."""
    counts = complete(config, 0, str(first / "out" / "examples"), str(second / "out" / "examples"), str(out), here)
    return look_up_examples(out), counts


def label_of(row: Mapping[str, Any], installs: Sequence[Row]) -> int:
    """Returns an impression's label in plain Python."""
    return int(
        any(
            (install["user"], install["app"]) == (row["user"], row["app"])
            and row["time"] - SKEW <= install["at"] <= row["time"] + WINDOW
            for install in installs
        )
    )


def is_shared(row: Mapping[str, Any], evaluated: Sequence[Row]) -> int:
    """Returns, in plain Python, whether an impression can share its label with an evaluated one."""
    return int(
        any(
            (other["user"], other["app"]) == (row["user"], row["app"])
            and abs(other["time"] - row["time"]) <= WINDOW + SKEW
            for other in evaluated
        )
    )
