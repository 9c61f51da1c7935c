"""Serves a chunk of a day's requests: asks the service, decides what is installed, and tells it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.simulator.installs import Installs
from pipeline.simulator.sampling import Bools, Floats, Ints
from pipeline.simulator.served.client import Answer, RankService
from pipeline.simulator.served.requests import NUM_CANDIDATES, NUM_SHOWN, Bodies, Requests
from pipeline.simulator.served.truth import relevance
from pipeline.simulator.store import Store
from pipeline.simulator.tables import app_ids, user_ids
from transform.errors import UserError

Probability = Callable[[Floats, Ints], Floats]

_PLACES = np.arange(1, NUM_SHOWN + 1)


@dataclass(frozen=True)
class ServedChunk:
    """What became of a chunk of requests.

    Attributes:
      versions: The versions that answered.
      installs: What was installed.
      user: int64 [n], the number of each request's user.
      expected, best, compared: As of ServedDay.
      candidates, requests: The rows of the ground truth.
    """

    versions: frozenset[int]
    installs: Installs
    user: Ints
    expected: Floats
    best: Floats
    compared: Floats | None
    candidates: pa.Table
    requests: pa.Table


def serve_chunk(
    store: Store,
    requests: Requests,
    bodies: Bodies,
    service: RankService,
    compared: RankService | None,
    probability: Probability,
) -> ServedChunk:
    """Serves requests; see `simulate_served`.

    Args:
      store: The store; not changed.
      requests: The requests.
      bodies: Makes what the services are sent.
      service: Answers, and is sent the events.
      compared: Answers as well, and its orders are judged; None for none.
      probability: The truth: the probability of an install by the logit and the place.
    """
    sent = bodies.of(requests)
    answers = service.rank(sent)
    if not all(answer.request_id for answer in answers):
        raise UserError("the rank service must have a log, so that events can name requests. Received: no request's id")
    shown = _shown(requests, bodies, answers)
    chances = probability(np.take_along_axis(requests.logit, shown, axis=1), np.broadcast_to(_PLACES, shown.shape))
    is_installed = np.take_along_axis(requests.luck, shown, axis=1) < chances
    service.post_events(
        [event for answer, one in zip(answers, is_installed, strict=True) for event in _events(answer, one)]
    )
    best = np.argsort(-requests.logit, axis=1, kind="stable")[:, :NUM_SHOWN]
    others = None if compared is None else compared.rank(sent)
    by_order = {
        "order_shown": chances.sum(axis=1),
        "order_of_relevance": _expected(requests, best, probability),
        **(
            {}
            if others is None
            else {"order_compared": _expected(requests, _shown(requests, bodies, others), probability)}
        ),
    }
    user, (row, place) = requests.user, np.nonzero(is_installed)
    app = requests.candidates[row, shown[row, place]]
    return ServedChunk(
        versions=frozenset(answer.version for answer in answers),
        installs=Installs.of(store, user[row], app, requests.timestamp[row]),
        user=store.users.number[user],
        expected=by_order["order_shown"],
        best=by_order["order_of_relevance"],
        compared=by_order.get("order_compared"),
        candidates=_candidates_table(store, requests, shown, chances, is_installed),
        requests=_requests_table(store, requests, answers, by_order),
    )


def _shown(requests: Requests, bodies: Bodies, answers: Sequence[Answer]) -> Ints:
    """Returns int64 [requests, NUM_SHOWN]: by place, which of its request's candidates an answer has there."""
    columns = []
    for slots, answer in zip(requests.candidates, answers, strict=True):
        column_of = {item_id: column for column, item_id in enumerate(bodies.ids(slots))}
        columns.append([column_of[item_id] for item_id in answer.items])
    return np.array(columns)


def _expected(requests: Requests, shown: Ints, probability: Probability) -> Floats:
    logits = np.take_along_axis(requests.logit, shown, axis=1)
    expected: Floats = probability(logits, np.broadcast_to(_PLACES, shown.shape)).sum(axis=1)
    return expected


def _events(answer: Answer, is_installed: Bools) -> list[dict[str, Any]]:
    """The events of one request; its items are shown when the answer comes, and an install comes at once."""
    events = []
    for place, (item_id, installed) in enumerate(zip(answer.items, is_installed, strict=True), 1):
        event = {"request": answer.request_id, "item": item_id, "time": answer.time}
        events.append({**event, "type": "shown", "position": place})
        if installed:
            events.append({**event, "type": "install"})
    return events


def _candidates_table(store: Store, requests: Requests, shown: Ints, chances: Floats, is_installed: Bools) -> pa.Table:
    shape = requests.candidates.shape
    place, probability, installed = np.zeros(shape, np.int8), np.zeros(shape, np.float32), np.zeros(shape, bool)
    np.put_along_axis(place, shown, np.broadcast_to(_PLACES.astype(np.int8), shown.shape), axis=1)
    np.put_along_axis(probability, shown, chances.astype(np.float32), axis=1)
    np.put_along_axis(installed, shown, is_installed, axis=1)
    first = relevance(requests.logit)
    return pa.table(
        {
            "request": pa.array(np.repeat(requests.first + np.arange(len(requests)), NUM_CANDIDATES)),
            "app_id": app_ids(store.apps.number).take(pa.array(requests.candidates.ravel())),
            "relevance": pa.array(first.ravel(), pa.float32()),
            "place": pa.array(place.ravel()),
            "examination": pa.array((probability / first).ravel(), pa.float32(), mask=(place == 0).ravel()),
            "probability": pa.array(probability.ravel(), pa.float32(), mask=(place == 0).ravel()),
            "is_installed": pa.array(installed.ravel()),
        }
    )


def _requests_table(
    store: Store, requests: Requests, answers: Sequence[Answer], by_order: dict[str, Floats]
) -> pa.Table:
    return pa.table(
        {
            "request": pa.array(requests.first + np.arange(len(requests))),
            "request_id": pa.array([answer.request_id for answer in answers], pa.string()),
            "timestamp": pa.array(requests.timestamp, pa.int64()),
            "user_id": user_ids(store.users.number[requests.user]),
            "version": pa.array([answer.version for answer in answers], pa.int64()),
            **{f"installs_{name}": pa.array(values, pa.float64()) for name, values in by_order.items()},
        }
    )


def read_installs(store: Store, candidates_path: Path, requests_path: Path) -> Installs:
    """Reads the installs of a served day from its ground truth, in the order in which they were made.

    Args:
      store: The store as it was at the start of that day.
      candidates_path: The file of the candidates.
      requests_path: The file of the requests.
    """
    rows = pq.read_table(candidates_path, columns=["request", "app_id", "place"], filters=[("is_installed", "=", True)])
    rows = rows.sort_by([("request", "ascending"), ("place", "ascending")])
    requests = pq.read_table(requests_path, columns=["timestamp", "user_id"]).take(rows["request"])
    user = _slots(requests["user_id"], user_ids(store.users.number))
    app = _slots(rows["app_id"], app_ids(store.apps.number))
    return Installs.of(store, user, app, requests["timestamp"].to_numpy())


def _slots(ids: pa.ChunkedArray, of_slots: pa.Array) -> Ints:
    slot_of = {text: slot for slot, text in enumerate(of_slots.to_pylist())}
    return np.array([slot_of[text] for text in ids.to_pylist()], dtype=np.int64)
