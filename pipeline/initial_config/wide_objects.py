"""Puts one column in place of an object with many members."""

from __future__ import annotations

import bisect
import collections
from collections.abc import Sequence

from pipeline.initial_config.sample import MAX_COLUMNS


def without_wide_objects(names: Sequence[str], own: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Puts one column in place of each object with many members, if the file would have more than `MAX_COLUMNS`.

    Args:
      names: The names of the columns; an object's members are columns.
      own: The names of the file's own columns, at most `MAX_COLUMNS`.

    Returns:
      At most `MAX_COLUMNS` names, and why the objects among them are left out, by their names. No object that is left
      out has fewer members than one whose members are columns.
    """
    if len(names) <= MAX_COLUMNS:
        return list(names), {}
    is_own = frozenset(own)
    objects_on = {name: [] if name in is_own else _objects_on(name) for name in names}
    members = collections.Counter(parent for parent, _ in {pair for pairs in objects_on.values() for pair in pairs})

    def narrowed(most: int) -> dict[str, str]:
        """Returns for each name that of the first object on its path with more than `most` members, or itself."""
        wide = {parent for parent, number in members.items() if number > most}
        return {name: next((p for p, _ in pairs if p in wide), name) for name, pairs in objects_on.items()}

    limits = sorted({0, *members.values()})  # with 0, all columns are the file's own
    fits = bisect.bisect_left(limits, True, key=lambda most: len(set(narrowed(most).values())) > MAX_COLUMNS)
    found = narrowed(limits[fits - 1])
    wide = {parent: f"an object of {members[parent]:,} members" for name, parent in found.items() if parent != name}
    return list(dict.fromkeys(found.values())), wide


def _objects_on(name: str) -> list[tuple[str, str]]:
    """Returns the objects on a path, from the outermost on, each with its member on the path."""
    keys = name.split(".")
    return [(".".join(keys[:number]), keys[number]) for number in range(1, len(keys))]
