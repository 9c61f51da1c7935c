"""The anchor: from manifests, after rollbacks and removals, and for a candidate model that was pushed already."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from components.model_store.manifest import Manifest, find_anchor
from components.model_store.retention import remove_old
from components.model_store.rollback import roll_back
from components.model_store.versions import add_version, history
from components.resolvers import AnchorModel
from tests.components.mlmd_lineage import Lineage


class Pushes:
    """Models of one span, and a serving folder."""

    def __init__(self, lineage: Lineage, root: str):
        self._lineage, self.root = lineage, root
        examples = lineage.examples(1)
        self.models = [lineage.model(examples) for _ in range(5)]

    def push(self, number: int, anchor: int | None = None) -> None:
        of_anchor = None if anchor is None else self.models[anchor].uri
        add_version(self.root, lambda folder: None, Manifest(model_uri=self.models[number].uri, anchor=of_anchor))

    def anchor(self, candidate: int) -> list[int]:
        """Returns the number of the anchor that a candidate model is compared with; empty if there is none."""
        inputs: dict[str, Any] = {"candidate": [self.models[candidate]], "model": self.models}
        found = AnchorModel(self.root).resolve_artifacts(self._lineage.store, inputs)
        assert found["candidate"] == []
        return [[m.id for m in self.models].index(m.id) for m in found["model"]]


@pytest.fixture
def pushes(lineage: Lineage, local_root: Any) -> Pushes:
    return Pushes(lineage, str(local_root))


def test_a_first_model_has_no_anchor_and_is_it_then(pushes: Pushes) -> None:
    assert pushes.anchor(0) == []
    pushes.push(0, anchor=0)
    assert pushes.anchor(1) == [0]


def test_the_anchor_is_what_the_serving_version_says(pushes: Pushes) -> None:
    pushes.push(0, anchor=0)
    pushes.push(1, anchor=0)
    assert pushes.anchor(2) == [0]
    pushes.push(2, anchor=2)
    assert pushes.anchor(3) == [2]


def test_a_model_that_is_pushed_already_is_held_against_the_anchor_that_it_had(pushes: Pushes) -> None:
    pushes.push(0, anchor=0)
    pushes.push(1, anchor=1)
    assert pushes.anchor(1) == [0]
    assert pushes.anchor(0) == []


def test_after_a_rollback_the_anchor_is_that_of_the_restored_version(pushes: Pushes) -> None:
    pushes.push(0, anchor=0)
    pushes.push(1, anchor=0)
    pushes.push(2, anchor=2)
    roll_back(pushes.root, "it sold nothing", to=2)
    assert pushes.anchor(3) == [0]


def test_where_the_anchor_s_files_are_gone_the_serving_model_stands_in(pushes: Pushes) -> None:
    pushes.push(0, anchor=0)
    pushes.push(1, anchor=0)
    pushes.push(2, anchor=2)
    assert remove_old(pushes.root, keep=2) == [1]
    shutil.rmtree(pushes.models[0].uri)
    roll_back(pushes.root, "it sold nothing", to=2)
    assert find_anchor(history(pushes.root)) == pushes.models[0].uri
    assert pushes.anchor(3) == [1]


def test_a_version_of_an_older_release_is_the_anchor(pushes: Pushes) -> None:
    pushes.push(0)
    pushes.push(1)
    assert pushes.anchor(2) == [1]
