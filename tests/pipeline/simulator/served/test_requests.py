"""The requests of a served day, and what the service is sent of them."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.simulator.served.requests import Bodies, Requests, request_chunks
from pipeline.simulator.store import Store
from pipeline.simulator.tables import catalog_table, users_table


@pytest.fixture(scope="module")
def store() -> Store:
    store = Store(3, num_users=400, num_apps=200)
    store.advance()
    return store


@pytest.fixture(scope="module")
def chunks(store: Store) -> list[Requests]:
    return list(request_chunks(store, 2100))


def test_requests_are_numbered_through_in_order_of_time(store: Store, chunks: list[Requests]) -> None:
    assert [(chunk.first, len(chunk)) for chunk in chunks] == [(0, 2000), (2000, 100)]
    times = np.concatenate([chunk.timestamp for chunk in chunks])
    assert (np.diff(times) >= 0).all()
    second_day = 1_767_225_600 + 86_400  # date -u -d 2026-01-02 +%s
    assert second_day <= times[0] < times[-1] < second_day + 86_400
    for chunk in chunks:
        assert (chunk.hour == chunk.timestamp % 86_400 // 3600).all()


def test_a_request_has_fifty_distinct_apps_that_its_user_does_not_have(store: Store, chunks: list[Requests]) -> None:
    for chunk in chunks:
        assert chunk.candidates.shape == chunk.logit.shape == chunk.luck.shape == (len(chunk), 50)
        for user, slots in zip(chunk.user, chunk.candidates.tolist(), strict=True):
            assert len(set(slots)) == 50
            assert not set(slots) & set(store.users.installed[user].tolist())


def test_the_logit_is_that_of_the_first_place(store: Store, chunks: list[Requests]) -> None:
    """All parts of the shipped store's logit but the position's, which is 0 at the first place."""
    chunk = chunks[1]
    for column in (0, 49):
        one = np.ones(len(chunk), dtype=np.int64)
        parts = store.logit_parts(chunk.user, chunk.candidates[:, column], chunk.hour, one)
        assert (parts.pop("position") == 0).all()
        assert chunk.logit[:, column] == pytest.approx(sum(parts.values()), abs=1e-5)


def test_requests_do_not_change_with_what_else_is_drawn(store: Store, chunks: list[Requests]) -> None:
    again = list(request_chunks(store, 2100))
    for one, other in zip(chunks, again, strict=True):
        for name in ("timestamp", "hour", "page", "user", "candidates", "logit", "luck"):
            assert (getattr(one, name) == getattr(other, name)).all(), name


def test_bodies_have_the_user_and_ids_and_the_features_of_new_apps(store: Store, chunks: list[Requests]) -> None:
    chunk = chunks[1]
    bodies = Bodies(store, new_since=2)
    sent = bodies.of(chunk)
    users = users_table(store, chunk.user).to_pylist()
    catalog = {row["app_id"]: row for row in catalog_table(store).to_pylist()}
    num_new = 0
    for index, (body, user) in enumerate(zip(sent, users, strict=True)):
        context = dict(body["context"])
        assert context.pop("weekday") == "fri"  # date -d 2026-01-02 +%a
        assert context.pop("hour") == chunk.hour[index]
        assert context.pop("page") in ("home", "search", "category", "similar")
        assert context == user
        assert body["user"] == user["user_id"]
        assert body["k"] == 10
        ids = bodies.ids(chunk.candidates[index])
        assert len(body["candidates"]) == 50
        for slot, item_id, candidate in zip(chunk.candidates[index], ids, body["candidates"], strict=True):
            if store.apps.born[slot] < 2:
                assert candidate == item_id
                continue
            num_new += 1
            row = dict(catalog[item_id])
            features = dict(candidate["features"])
            assert candidate["id"] == row.pop("app_id")
            assert features.pop("app_language") == row.pop("language")
            assert features == row
    assert num_new > 0
