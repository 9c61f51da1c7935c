"""Runs the loop: each day is served by the newest model, logged, exported, trained on, judged and pushed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.batch_scoring.raw_rows import model_config
from pipeline.log_export.export import export_log
from pipeline.log_export.logged_candidates import catalogs_of_versions
from pipeline.nodes.settings import RunSettings
from pipeline.simulated_loop.served_config import SERVED, write_served_config
from pipeline.simulated_loop.servers import ready_version, servers, wait_until
from pipeline.simulator import simulate
from pipeline.simulator.served import ServedDay, simulate_served
from pipeline.workspace import Workspace
from serving.serving_log.events import EVENTS_FOLDER
from serving.serving_log.folder import sealed_files
from transform.config.config import Config
from transform.config.config_file import load_config
from transform.errors import GateError, UserError

#: Runs the pipeline; returns the pushed version, or None and why there is none.
RunSpan = Callable[[Config, RunSettings], tuple[int | None, str]]

#: On record: of the first day that the rank service serves, the shares of labels and items differ from the day before.
_ACCEPTED = "the first day that is served in order of a model's scores"


@dataclass(frozen=True)
class LoopDay:
    """A day of the loop.

    Attributes:
      day: Its number.
      served: What it came to.
      version: The version that was pushed after it; None for none.
      reason: Why there is none.
      stopped: Whether a gate on data stopped the day, so that no model was trained on it.
    """

    day: int
    served: ServedDay
    version: int | None
    reason: str
    stopped: bool = False


@dataclass(frozen=True)
class LoopSizes:
    """The sizes of a loop.

    Attributes:
      num_days: The days that are served.
      first_days: The days before, of which the first version learns.
      impressions_per_day: The impressions of each day, ten a request.
      num_users, num_apps: As of `simulate`.
    """

    num_days: int
    first_days: int
    impressions_per_day: int
    num_users: int
    num_apps: int


def run_loop(
    config_file: str,
    keys: dict[str, Any],
    folder: Path,
    sizes: LoopSizes,
    *,
    truth: str,
    seed: int,
    options: Sequence[str],
    run_span: RunSpan,
    on_day: Callable[[LoopDay], None],
    before_run: Callable[[int, Path], None] | None = None,
) -> list[LoopDay]:
    """Runs the loop with one seed.

    Args:
      config_file: The store's config: of the days of which the first version learns.
      keys: The same as it is written.
      folder: Where everything is written; must not exist.
      sizes: The sizes.
      truth: As of `simulate_served`.
      seed: The seed of the store.
      options: Options of the rank service, such as those of exploration.
      run_span: Runs the pipeline for a span.
      on_day: Called after each served day.
      before_run: Called with the day and the folder of its export before the pipeline runs on it; None for nothing.

    Returns:
      The served days.

    Raises:
      UserError: If a day of which the first version learns is not pushed, a server does not answer, or the export
        lacks what was answered.
    """
    if folder.exists():
        raise UserError(f"the loop needs a folder of its own. Received: {folder}, which exists")
    data, workspace, log, key = folder / "data", Workspace.at(folder / "workspace"), folder / "log", folder / "log.key"
    log.mkdir(parents=True)
    key.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
    served_file = folder / "served.yaml"
    write_served_config(keys, served_file)
    config, served = load_config(config_file), load_config(str(served_file))
    store: dict[str, Any] = {
        "impressions_per_day": sizes.impressions_per_day,
        "num_users": sizes.num_users,
        "num_apps": sizes.num_apps,
        "seed": seed,
    }
    simulate(data, num_days=sizes.first_days, **store)
    version = None
    for day in range(1, sizes.first_days + 1):
        version, reason = run_span(config, RunSettings(str(data), workspace, day, config_file=config_file))
        if version is None:
            raise UserError(f"the first version must be pushed. Received: none on day {day}, since {reason}")
    serving, first = workspace.serving(config.name), folder / "first"
    shutil.copytree(serving / f"{version}", first / f"{version}")
    days: list[LoopDay] = []
    with servers(config.name, serving, first, log, key, options) as found:
        for day in range(sizes.first_days + 1, sizes.first_days + sizes.num_days + 1):
            came: dict[int, ServedDay] = {}
            simulate_served(
                data,
                found.url,
                num_days=1,
                first_day=day,
                truth=truth,
                compare_url=found.first_url,
                on_day=came.__setitem__,
                **store,
            )
            exported = data / SERVED.format(SPAN=day)
            _export(served, log, folder / "logs" / f"day-{day}", exported, serving, key, came[day])
            if before_run is not None:
                before_run(day, exported)
            settings = RunSettings(
                str(data),
                workspace,
                day,
                accept_reason=_ACCEPTED if day == sizes.first_days + 1 else "",
                config_file=str(served_file),
            )
            try:
                version, reason = run_span(served, settings)
                days.append(LoopDay(day, came[day], version, reason))
            except GateError as error:
                version = None
                days.append(LoopDay(day, came[day], None, str(error), stopped=True))
            on_day(days[-1])
            if version is not None:
                pushed = version
                wait_until(lambda: ready_version(found.url) == pushed, f"an answer by version {pushed}")  # noqa: B023
    return days


def _export(config: Config, log: Path, of_day: Path, out: Path, serving: Path, key: Path, served: ServedDay) -> None:
    """Exports a day's part of the log: moves its sealed files, all that there are, to a folder of their own."""
    wait_until(lambda: not list(log.rglob("*.open")), "the end of the log's files")
    for part in ("", EVENTS_FOLDER):
        (of_day / part).mkdir(parents=True)
        for path in sealed_files(str(log / part)):
            os.rename(path, of_day / part / os.path.basename(path))
    catalogs = catalogs_of_versions(str(serving), model_config)
    record = export_log(config, [str(of_day)], str(out), catalogs, str(key))
    received = (0, 0, {}) if record is None else (record.num_requests, record.num_events, dict(record.skipped))
    if received != (served.num_requests, served.num_events, {}):
        raise UserError(
            f"the export must have {served.num_requests:,} requests and {served.num_events:,} events and skip nothing. "
            f"Received: {received[0]:,} requests, {received[1]:,} events, skipped {received[2]} ({out})"
        )
