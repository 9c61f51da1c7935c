"""Which versions are kept: the highest, the pinned, the anchor's, and those that a rollback restores."""

from __future__ import annotations

import pytest

from components.model_store.retention import pin, pins, remove_old, unpin
from components.model_store.rollback import roll_back
from components.model_store.versions import (
    history,
    verify,
    versions,
)
from tests.components.serving_folder import add, place
from transform.errors import InputError


def test_a_pin_is_listed_with_its_reason_and_taken_away(root: str) -> None:
    for _ in range(3):
        add(root)
    assert pins(root) == {}
    pin(root, 2, "the audit of May")
    pin(root, 1, "")
    assert pins(root) == {1: "", 2: "the audit of May"}
    unpin(root, 1)
    assert pins(root) == {2: "the audit of May"}
    with pytest.raises(InputError, match=r"a version to unpin must be one of \[2\]. Received: 1"):
        unpin(root, 1)
    with pytest.raises(InputError, match=r"a version to pin must be one of \[1, 2, 3\]. Received: 4"):
        pin(root, 4, "")


def test_retention_keeps_the_highest_the_pinned_and_what_a_kept_rollback_restores(root: str) -> None:
    for text in "abcdefg":
        add(root, text, model_uri=text)
    pin(root, 2, "a test")
    roll_back(root, "a test", to=4)  # version 8
    assert remove_old(root, keep=3) == [1, 3, 5]
    assert versions(root) == [2, 4, 6, 7, 8]
    assert remove_old(root, keep=1) == [6, 7]
    assert versions(root) == [2, 4, 8]
    for version in versions(root):
        verify(place(root, version))
    unpin(root, 2)
    add(root, "i", model_uri="i")
    assert remove_old(root, keep=1) == [2, 4, 8]
    assert versions(root) == [9]
    assert {v: m.model_uri for v, m in history(root).items()} == dict(zip(range(1, 10), "abcdefgdi", strict=True))


def test_retention_keeps_the_anchor_until_another_model_is(root: str) -> None:
    for text in "abcde":
        add(root, text, model_uri=text, anchor="b" if text > "a" else "a")
    assert remove_old(root, keep=1) == [1, 3, 4]
    assert versions(root) == [2, 5]
    add(root, "f", model_uri="f", anchor="f")
    assert remove_old(root, keep=1) == [2, 5]


def test_there_is_nothing_to_remove_from_few_versions_or_none(root: str) -> None:
    assert remove_old(root, keep=1) == []
    add(root)
    add(root)
    assert remove_old(root, keep=2) == []
