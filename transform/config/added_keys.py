"""The config's keys that the first release did not have.

A config that does not use such a key is the config that it was before: what is compared between releases, such as a
hash of the config, leaves the key out where it has its default (`without_added_keys`).
"""

from __future__ import annotations

import dataclasses
from typing import Any

from transform.config.beam import Beam
from transform.config.renamed_keys import EACH
from transform.config.sources import DelimitedText


@dataclasses.dataclass(frozen=True)
class AddedKey:
    """A key that a later release added.

    Attributes:
      section: The path, in a config's JSON, of the mapping that has the key; `EACH` stands for each entry of a list or
        a mapping.
      name: The key.
      default: Its default in JSON.
    """

    section: tuple[str, ...]
    name: str
    default: Any = None


_PLAIN_TEXT = {**dataclasses.asdict(DelimitedText()), "columns": []}

#: In the order in which they were added.
ADDED_KEYS = (
    AddedKey(("evaluation",), "accuracy_threshold", 0.5),
    AddedKey(("sources", "impressions"), "text", _PLAIN_TEXT),
    AddedKey(("sources", "impressions"), "label_rule"),
    AddedKey(("sources", "installs"), "text", _PLAIN_TEXT),
    AddedKey(("sources", "tables", EACH), "text", _PLAIN_TEXT),
    AddedKey(("spec", "features", EACH), "boundaries"),
    AddedKey(("training",), "validation_fraction"),
    AddedKey(("spec", "features", EACH), "scale", "quantile"),
    AddedKey(("spec", "features", EACH), "derive"),
    AddedKey((), "beam", {**dataclasses.asdict(Beam()), "args": []}),
    AddedKey(("spec", "features", EACH), "one_hot"),
    AddedKey(("sources", "installs"), "late_labels", False),
)


def without_added_keys(raw: Any) -> Any:
    """Returns a config's parsed JSON without the added keys that have their default; the argument is not changed."""
    for key in ADDED_KEYS:
        raw = _without(raw, key, key.section)
    return raw


def _without(node: Any, key: AddedKey, section: tuple[str, ...]) -> Any:
    if isinstance(node, list) and section[:1] == (EACH,):
        return [_without(entry, key, section[1:]) for entry in node]
    if not isinstance(node, dict):
        return node
    if not section:
        return {name: value for name, value in node.items() if name != key.name or value != key.default}
    head, rest = section[0], section[1:]
    return {name: _without(entry, key, rest) if head in (EACH, name) else entry for name, entry in node.items()}
