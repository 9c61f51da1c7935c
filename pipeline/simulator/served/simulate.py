"""Simulates days of the store that a rank service serves."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.simulator.day_folders import DayFolders, published_paths
from pipeline.simulator.installs import Installs, record
from pipeline.simulator.sampling import Floats, Ints
from pipeline.simulator.served.chunk import ServedChunk, read_installs, serve_chunk
from pipeline.simulator.served.client import RankService
from pipeline.simulator.served.requests import NUM_SHOWN, Bodies, request_chunks
from pipeline.simulator.served.truth import TRUTHS
from pipeline.simulator.simulate import check_output, check_sizes, installs_of_day, simulate_day
from pipeline.simulator.store import Store
from pipeline.simulator.tables import catalog_table

_LOGS = ("catalog",)
_CANDIDATES, _REQUESTS = _TRUTHS = ("truth/candidates", "truth/requests")
_LEAST_APPS = 200  # so that a user with 25 apps can be shown 50 other apps of every kind


@dataclass(frozen=True)
class ServedDay:
    """What a served day came to.

    Attributes:
      num_requests: Its requests.
      num_installs: The installs of the items shown.
      versions: The versions that answered, ascending.
      num_events: The events that were sent.
      user: int64 [requests], the number of each request's user.
      installs: float64 [requests], the expected installs of each request: the sum over the places of the true
        probability of an install of the item that is shown there.
      best: float64 [requests], the same, of the items in the order of their true relevance.
      compared: float64 [requests], the same, of the orders by the service that is compared; None without one.
    """

    num_requests: int
    num_installs: int
    versions: tuple[int, ...]
    num_events: int
    user: Ints
    installs: Floats
    best: Floats
    compared: Floats | None

    @classmethod
    def of(cls, chunks: list[ServedChunk]) -> ServedDay:
        """Sums a day's chunks up, of which there is at least one."""
        versions = sorted({version for chunk in chunks for version in chunk.versions})
        compared = [chunk.compared for chunk in chunks if chunk.compared is not None]
        return cls(
            num_requests=sum(len(chunk.expected) for chunk in chunks),
            num_installs=sum(len(chunk.installs) for chunk in chunks),
            versions=tuple(versions),
            num_events=sum(NUM_SHOWN * len(chunk.expected) + len(chunk.installs) for chunk in chunks),
            user=np.concatenate([chunk.user for chunk in chunks]),
            installs=np.concatenate([chunk.expected for chunk in chunks]),
            best=np.concatenate([chunk.best for chunk in chunks]),
            compared=np.concatenate(compared) if compared else None,
        )


def simulate_served(
    out: Path,
    url: str,
    *,
    num_days: int,
    impressions_per_day: int,
    truth: str,
    seed: int = 1,
    num_users: int,
    num_apps: int,
    first_day: int = 1,
    format: str = "csv",
    compress: bool = False,
    compare_url: str | None = None,
    on_day: Callable[[int, ServedDay], None] | None = None,
) -> None:
    """Simulates days of the store whose requests a rank service answers; writes the catalog and the ground truth.

    Each request has 50 candidates and asks for ten, which are shown in the answer's order. What is installed is
    decided by the true probability of each item at its place, and happens at once. Then the events of the request are
    sent to `/v1/events` of the service, with the request's id: `shown`, with the places, and each `install`. What
    was asked and answered is in the service's log. Day N is, below `out`:

    - `catalog/day-N/`: as of `simulate`.
    - `truth/candidates/day-N.parquet`: a row for each candidate of each request: its relevance (the probability of an
      install at the first place), its place (0 if it was not shown), and for a shown one the examination, the
      probability of an install there, which is examination times relevance, and whether it was installed.
    - `truth/requests/day-N.parquet`: a row for each request: its id, its user, the version, and the expected installs
      of the order shown, of the ten in order of relevance, and of the order by the service that is compared.

    The same seed and answers give the same days. The state before `first_day` is that of earlier days below `out`; an
    earlier day that was not served is drawn as by `simulate` with the same sizes.

    Args:
      out: The folder to write to; created if missing.
      url: The rank service, which needs a log.
      num_days: Number of days to write.
      impressions_per_day: Number of impressions of each day, ten of each request; a multiple of ten.
      truth: One of TRUTHS.
      seed: The seed of all random draws.
      num_users: Number of users at any time; 1 % are replaced by new ones every day.
      num_apps: Number of apps on offer at any time; 1 % are replaced by new ones every day.
      first_day: The number of the first day to write.
      format: The format of the catalog.
      compress: Whether the catalog's files are gzipped.
      compare_url: A rank service that is asked the same, and whose orders are judged but not shown.
      on_day: Called with the day's number and what it came to after each day.

    Raises:
      ValueError: An argument is not allowed, or one of the days already exists.
      UserError: If a service does not answer.
    """
    check_sizes(
        num_days=num_days, impressions_per_day=impressions_per_day, seed=seed, num_users=num_users, first_day=first_day
    )
    num_requests, rest = divmod(impressions_per_day, NUM_SHOWN)
    if rest:
        raise ValueError(
            f"`impressions_per_day` must be a multiple of {NUM_SHOWN} with a rank service. "
            f"Received: {impressions_per_day}."
        )
    if num_apps < _LEAST_APPS:
        raise ValueError(f"`num_apps` must be at least {_LEAST_APPS} with a rank service. Received: {num_apps}.")
    if truth not in TRUTHS:
        raise ValueError(f"`truth` must be one of {', '.join(TRUTHS)}. Received: {truth}.")
    last_day = first_day + num_days - 1
    check_output(out, format, compress, range(first_day, last_day + 1), served_paths)
    store = Store(seed, num_users, num_apps)
    pending = Installs.none()
    was_served = [day for day in range(1, first_day) if served_paths(out, day)[1].exists()]
    new_since = min([*was_served, first_day])
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(RankService(url))
        compared = None if compare_url is None else stack.enter_context(RankService(compare_url))
        while True:
            if store.day in was_served:
                installs = read_installs(store, *served_paths(out, store.day)[1:])
                pending = _close(store, [pending, installs], impressions_per_day)
            elif store.day < first_day:
                pending, _ = simulate_day(store, pending, impressions_per_day)
            else:
                chunks = []
                bodies = Bodies(store, new_since)
                with DayFolders(out, store.day, format, compress=compress, logs=_LOGS, truths=_TRUTHS) as folders:
                    folders.write("catalog", catalog_table(store))
                    for requests in request_chunks(store, num_requests):
                        chunks.append(serve_chunk(store, requests, bodies, service, compared, TRUTHS[truth]))
                        folders.write_truth(chunks[-1].candidates, _CANDIDATES)
                        folders.write_truth(chunks[-1].requests, _REQUESTS)
                if on_day is not None:
                    on_day(store.day, ServedDay.of(chunks))
                pending = _close(store, [pending, *(chunk.installs for chunk in chunks)], impressions_per_day)
            if store.day == last_day:
                return
            store.advance()


def served_paths(out: Path, day: int) -> list[Path]:
    """Returns the paths of a served day: its catalog's folder, and the files of its candidates and its requests."""
    return published_paths(out, day, _LOGS, _TRUTHS)


def _close(store: Store, parts: list[Installs], num_impressions: int) -> Installs:
    """Adds the day's installs to the users' apps; returns those after midnight."""
    rng = store.rng("close")
    today, later = installs_of_day(store, rng, parts, num_impressions)
    record(store, rng, today)
    return later
