"""The config's section `schedule`: when a span's run is due, what it waits for, and how it is retried."""

from __future__ import annotations

import datetime
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from transform.config.settings import PositiveFloat
from transform.config.sources import RelativePath
from transform.feature import STRICT, Name

#: The file that a store writes last, when its logs are complete.
SUCCESS_MARKER = "_SUCCESS"


@dataclass(frozen=True, config=STRICT)
class Pod:
    """What a node asks of a cluster.

    Attributes:
      cpu: Processors, as Kubernetes writes them.
      memory: Its memory, and its limit.
      node_selector: The labels of the machines that it may run on.
    """

    cpu: Annotated[str, Field(pattern=r"^\d+(\.\d+)?m?$", examples=["500m", "4"])] = "1"
    memory: Annotated[str, Field(pattern=r"^\d+(\.\d+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$", examples=["8Gi"])] = "4Gi"
    node_selector: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, config=STRICT)
class Schedule:
    """When a scheduler runs the pipeline, one run for each span.

    Attributes:
      cron: When a run is due; it is for the logs of the interval that has just ended.
      timezone: Of `cron`, such as `Europe/Berlin`.
      start: The first day with logs. Where a path has `{SPAN}`, its logs are those of span `first_span`.
      first_span: The span of the logs of the day `start`; not used where paths have dates.
      marker: A file below the data folder whose existence means that a span's logs are complete, `{SPAN}` or the date
        in its path as in the impressions'. `_SUCCESS` in the impressions' folder if left out.
      wait_seconds: How long a run waits for it before it fails; in Airflow, from when the run was due.
      poll_seconds: How often it looks.
      catchup: Run the spans since `start` that have not been run, in order.
      block_on_failure: A span fails until the one before it has pushed, was refused, or was skipped; else it runs on
        top of the last good one.
      retries: How often a node that failed is tried again.
      retry_seconds: The time before the first retry; it doubles with each.
      timeout_seconds: A node that takes longer has failed.
      pods: By node, what it asks of a cluster; `default` is for the others. Without a `default`, a node that reads all
        rows asks for a processor and 1Gi more for each of `beam.num_workers`.
    """

    cron: str = "0 4 * * *"
    timezone: str = "UTC"
    start: datetime.date = datetime.date(2026, 1, 1)
    first_span: Annotated[int, Field(ge=0)] = 1
    marker: RelativePath | None = None
    wait_seconds: PositiveFloat = 12 * 3600.0
    poll_seconds: PositiveFloat = 60.0
    catchup: bool = True
    block_on_failure: bool = False
    retries: Annotated[int, Field(ge=0, le=100)] = 3
    retry_seconds: PositiveFloat = 60.0
    timeout_seconds: PositiveFloat = 6 * 3600.0
    pods: dict[Name, Pod] = Field(default_factory=dict)

    @field_validator("cron")
    @classmethod
    def _five_fields(cls, cron: str) -> str:
        if len(cron.split()) != 5:
            raise ValueError(f"must have five fields: minute, hour, day, month, weekday. Received: {cron!r}")
        return cron

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, timezone: str) -> str:
        if timezone not in available_timezones():
            raise ValueError(f"must be a name of the tz database, such as UTC or Europe/Berlin. Received: {timezone!r}")
        return timezone

    @property
    def zone(self) -> datetime.tzinfo:
        return ZoneInfo(self.timezone)
