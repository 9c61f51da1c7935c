"""Completes the labels of a span's tail by what the next span's logs say."""

from __future__ import annotations

import math
import os

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.ingestion.formats.blocks import Mask
from components.ingestion.stages.lookups import InstallTimes, sharing
from components.ingestion.tail import EVALUATED, INSTALLS, end_of_logs, times_between
from components.late_labels.counts import LateCounts
from transform.config.sources import Installs


class Completion:
    """What the next span's logs say of a tail: its installs and evaluation impressions around the tail's impressions.

    Args:
      folder: The folder of the next span's tail, which has them.
      shown: The times of the tail's impressions, in seconds since 1970.
      rule: How installs label impressions.

    Attributes:
      rows_read: The number of rows that were read.
    """

    def __init__(self, folder: str, shown: npt.NDArray[np.float64], rule: Installs) -> None:
        self._rule = rule
        self._end = end_of_logs(os.path.join(folder, INSTALLS))
        before, after = rule.clock_skew_seconds, rule.attribution_seconds
        self._sharing = before + after
        # Those that stay open, such as an impression whose clock is years ahead, would widen what is read.
        closed = shown[self._is_closed(shown)]
        earliest, latest = (closed.min(), closed.max()) if len(closed) else (math.inf, -math.inf)
        installs = times_between(os.path.join(folder, INSTALLS), earliest - before, latest + after)
        evaluated = times_between(os.path.join(folder, EVALUATED), earliest - self._sharing, latest + self._sharing)
        self._installs = InstallTimes(installs.rows)
        self._evaluated = evaluated.rows
        self.rows_read = installs.num_read + evaluated.num_read

    def of(self, rows: pa.Table) -> pa.Table:
        """Returns the rows whose windows are closed by the next span's end.

        Args:
          rows: Rows of a shard of the tail, whose `label` comes from the installs of its own span.

        Returns:
          Rows with the final `label`, the label `so_far`, and `shares_label`.
        """
        rows = rows.filter(pa.array(self._is_closed(np.asarray(rows["shown"]))))
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

    def _is_closed(self, shown: npt.NDArray[np.float64]) -> Mask:
        return shown + self._rule.attribution_seconds <= self._end

    def _shares(self, keys: pa.Array, shown: npt.NDArray[np.float64]) -> Mask:
        """Returns which impressions can share their label with an evaluation impression of the next span."""
        number = len(self._evaluated)
        all_keys = pa.concat_arrays([self._evaluated["key"].combine_chunks(), keys])
        all_times = np.concatenate([np.asarray(self._evaluated["time"]), shown])
        return sharing(all_keys, all_times, np.arange(len(all_keys)) < number, self._sharing)[number:]


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
