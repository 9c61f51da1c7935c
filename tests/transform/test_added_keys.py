"""A key that a release added changes no config that does not use it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.store import CONFIG
from tests.transform.small_config import small_config
from transform.config.added_keys import ADDED_KEYS, without_added_keys
from transform.config.config import load_config
from transform.config.renamed_keys import EACH


def sections(node: Any, path: tuple[str, ...]) -> list[dict[str, Any]]:
    """Returns the mappings at a path, with each entry of a mapping or a list at `EACH`."""
    if node is None or not path:
        return [] if node is None else [node]
    entries = list(node.values() if isinstance(node, dict) else node) if path[0] == EACH else [node.get(path[0])]
    return [section for entry in entries for section in sections(entry, path[1:])]


@pytest.mark.parametrize("key", ADDED_KEYS, ids=lambda key: ".".join((*key.section, key.name)))
def test_the_default_is_that_of_the_config(key: Any) -> None:
    plain = json.loads(load_config(CONFIG).to_json())
    found = sections(plain, key.section)
    assert found
    assert all(section[key.name] == key.default for section in found)
    assert not any(key.name in section for section in sections(without_added_keys(plain), key.section))


def test_a_key_that_is_used_is_part_of_a_config_s_identity() -> None:
    plain, used = small_config(), small_config(("evaluation.accuracy_threshold", 0.25))
    assert plain.identity_json() != used.identity_json()
    assert json.loads(used.identity_json())["evaluation"]["accuracy_threshold"] == 0.25
