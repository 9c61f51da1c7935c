"""Completes the labels of a span's tail by what the next span's logs say."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.ingestion.formats.blocks import Mask
from components.ingestion.stages.lookups import InstallTimes, sharing
from components.ingestion.tail import EVALUATED, INSTALLS, end_of_logs, num_read, times_between
from components.late_labels.counts import LateCounts
from transform.config.sources import Installs


@dataclasses.dataclass(frozen=True)
class NextSpan:
    """Where the next span's logs say what became of a tail.

    Attributes:
      folder: The folder of the next span's tail, which has its installs and evaluation impressions.
      rule: How installs label impressions.
      earliest: The time of the first impression of the tail whose window is closed by the next span's end, in seconds
        since 1970; infinite if there is none.
      latest: That of the last one; minus infinite if there is none.
    """

    folder: str
    rule: Installs
    earliest: float
    latest: float

    def installs(self) -> tuple[str, float, float]:
        """Returns the file of installs, and between which times they matter."""
        earliest, latest = self.earliest - self.rule.clock_skew_seconds, self.latest + self.rule.attribution_seconds
        return os.path.join(self.folder, INSTALLS), earliest, latest

    def evaluated(self) -> tuple[str, float, float]:
        """Returns the file of evaluation impressions, and between which times they matter."""
        return os.path.join(self.folder, EVALUATED), self.earliest - self.sharing, self.latest + self.sharing

    @property
    def sharing(self) -> float:
        """How far apart two impressions that share a label may be, in seconds."""
        return self.rule.clock_skew_seconds + self.rule.attribution_seconds

    def rows_read(self) -> int:
        """Returns the number of rows that a `Completion` reads."""
        return num_read(*self.installs()) + num_read(*self.evaluated())


def next_span(folder: str, shown: Iterable[npt.NDArray[np.float64]], rule: Installs) -> NextSpan:
    """Returns where the next span's logs are, and between which times they matter.

    Args:
      folder: The folder of the next span's tail.
      shown: The times of the impressions of each shard of the tail, in seconds since 1970.
      rule: How installs label impressions.
    """
    end = end_of_logs(os.path.join(folder, INSTALLS))
    earliest, latest = math.inf, -math.inf
    for times in shown:
        # Those that stay open, such as an impression whose clock is years ahead, would widen what is read.
        closed = times[_are_closed(times, rule, end)]
        earliest, latest = closed.min(initial=earliest), closed.max(initial=latest)
    return NextSpan(folder, rule, float(earliest), float(latest))


class Completion:
    """What the next span's logs say of a tail: its installs and evaluation impressions around the tail's impressions.

    It holds their keys and times.

    Args:
      following: The next span's logs.
    """

    def __init__(self, following: NextSpan) -> None:
        self._rule, self._sharing = following.rule, following.sharing
        self._end = end_of_logs(following.installs()[0])
        self._installs = InstallTimes(times_between(*following.installs()))
        self._evaluated = times_between(*following.evaluated())

    def of(self, rows: pa.Table) -> pa.Table:
        """Returns the rows whose windows are closed by the next span's end.

        Args:
          rows: Rows of a shard of the tail, whose `label` comes from the installs of its own span.

        Returns:
          Rows with the final `label`, the label `so_far`, and `shares_label`.
        """
        rows = rows.filter(pa.array(_are_closed(np.asarray(rows["shown"]), self._rule, self._end)))
        keys, shown = rows["key"].combine_chunks(), np.asarray(rows["shown"])
        found = self._installs.label(keys, shown, self._rule.clock_skew_seconds, self._rule.attribution_seconds)
        so_far = rows["label"]
        columns = {
            "so_far": so_far,
            "label": pa.array(np.maximum(np.asarray(so_far), found.labels)),
            "shares_label": pa.array(self._shares(keys, shown).astype(np.int8)),
        }
        rows = rows.drop_columns("label")
        for name, values in columns.items():
            rows = rows.append_column(name, values)
        return rows

    def _shares(self, keys: pa.Array, shown: npt.NDArray[np.float64]) -> Mask:
        """Returns which impressions can share their label with an evaluation impression of the next span."""
        number = len(self._evaluated)
        all_keys = pa.concat_arrays([self._evaluated["key"].combine_chunks(), keys])
        all_times = np.concatenate([np.asarray(self._evaluated["time"]), shown])
        return sharing(all_keys, all_times, np.arange(len(all_keys)) < number, self._sharing)[number:]


def _are_closed(shown: npt.NDArray[np.float64], rule: Installs, end: float) -> Mask:
    return shown + rule.attribution_seconds <= end


def counts_of_shard(span: int, rows: pa.Table, completed: pa.Table) -> LateCounts:
    """Returns what became of a shard's rows, given what `Completion.of` returned for them."""
    labels, so_far = np.asarray(completed["label"]), np.asarray(completed["so_far"])
    return LateCounts(
        span=span,
        waiting=len(rows),
        completed=len(completed),
        positives=int(labels.sum()),
        found_late=int((labels > so_far).sum()),
        still_open=len(rows) - len(completed),
        shared=int(np.asarray(completed["shares_label"]).sum()),
    )
