"""The config's keys that have been renamed, and the renaming in configs that still have the old names.

A config file with an old name is read for one release, with a warning. The configs inside pushed versions and on record
in ML Metadata are read for ever: they are renamed as they are read, without a warning. What is compared between
releases, such as a hash of the config, has the first names (`first_names`), so that a new name is not a change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from transform.config.validation_errors import SPEC_KEYS
from transform.errors import ConfigError

#: In the path of a section: each entry of a list or of a mapping.
EACH = "*"

#: The sections whose keys `tuning.ranges` can name.
_TUNED_SECTIONS = ("model", "training")


@dataclasses.dataclass(frozen=True)
class RenamedKey:
    """A key with a new name.

    Attributes:
      section: The path of the mapping that has the key; `EACH` stands for each entry of a list or a mapping.
      old: Its first name.
      new: Its name now.
      new_values: The values whose form has changed too: for each old one, the new one.
      in_choices: Whether these values are the entries of `choices` in the key's value, as in a range to tune.
    """

    section: tuple[str, ...]
    old: str
    new: str
    new_values: Mapping[Any, Any] = dataclasses.field(default_factory=dict)
    in_choices: bool = False

    def new_value(self, value: Any) -> Any:
        """Returns a value in its new form; a value that never was valid as it is, for the config's own rules."""
        is_known = isinstance(value, str | bool | int) and value in self.new_values
        return self.new_values[value] if is_known else value

    def of_value(self, value: Any) -> Any:
        """Returns the new form of what stands behind the key."""
        if not self.in_choices:
            return self.new_value(value)
        if not isinstance(value, dict) or not isinstance(value.get("choices"), list | tuple):
            return value
        return {**value, "choices": [self.new_value(choice) for choice in value["choices"]]}

    def reversed(self) -> RenamedKey:
        """Returns the renaming back to the first name."""
        old_values = {new: old for old, new in self.new_values.items()}
        return dataclasses.replace(self, old=self.new, new=self.old, new_values=old_values)


def _with_places(keys: Sequence[RenamedKey]) -> tuple[RenamedKey, ...]:
    """Adds the places of settings, which are keys of `tuning.ranges`."""
    tuned = [key for key in keys if key.section and key.section[0] in _TUNED_SECTIONS]
    places = [
        dataclasses.replace(
            key,
            section=("tuning", "ranges"),
            old=".".join((*key.section, key.old)),
            new=".".join((*key.section, key.new)),
            in_choices=True,
        )
        for key in tuned
    ]
    return (*keys, *places)


#: The keys with new names, as in a file.
RENAMED_KEYS = _with_places(
    [
        RenamedKey((), "counts", "count_encodings"),
        RenamedKey(("features", EACH), "quantiles", "num_quantiles"),
        RenamedKey(("features", EACH, "vocabulary"), "oov_buckets", "num_oov_buckets"),
        RenamedKey(("crosses", EACH), "hash_buckets", "num_hash_buckets"),
        RenamedKey(("model",), "bfloat16", "compute_dtype", {False: "float32", True: "bfloat16"}),
        RenamedKey(("training",), "shuffle_buffer", "shuffle_buffer_size"),
        RenamedKey(("training",), "negative_fraction", "negative_sampling_rate"),
        RenamedKey(("training", "deep_optimizer"), "final_fraction", "min_lr_ratio"),
        RenamedKey(("push",), "keep_versions", "num_kept_versions"),
    ]
)


def _embedded(key: RenamedKey) -> RenamedKey:
    """Returns the renaming in a config's JSON, in which the feature spec is a section of its own."""
    is_of_spec = (key.section[0] if key.section else key.new) in SPEC_KEYS
    return dataclasses.replace(key, section=("spec", *key.section)) if is_of_spec else key


_EMBEDDED_KEYS = tuple(_embedded(key) for key in RENAMED_KEYS)
_FIRST_NAMES = tuple(key.reversed() for key in reversed(_EMBEDDED_KEYS))


@dataclasses.dataclass(frozen=True)
class FoundKeys:
    """The places of a config that have one old name: the first one, and their number."""

    key: RenamedKey
    first_place: str
    number: int


def in_file(raw: dict[str, Any], where: str) -> tuple[dict[str, Any], list[FoundKeys]]:
    """Renames the old keys of a config file.

    Args:
      raw: The file's content; not changed.
      where: The file, for errors.

    Returns:
      The content with new names only, and the old names that were found.

    Raises:
      ConfigError: If a section has both names of one key.
    """
    found = []
    for key in RENAMED_KEYS:
        renaming = _Renaming(key, where)
        raw = renaming.within(raw, key.section, ())
        if renaming.places:
            found.append(FoundKeys(key, renaming.places[0], len(renaming.places)))
    return raw, found


def in_json(raw: Any) -> Any:
    """Renames the old keys of a config's parsed JSON (`Config.to_json` of any release); the argument is not changed."""
    return _renamed(raw, _EMBEDDED_KEYS)


def first_names(raw: Any) -> Any:
    """Returns a config's parsed JSON with the first name of each key and the first form of each value."""
    return _renamed(raw, _FIRST_NAMES)


def warning_of(found: FoundKeys, where: str) -> str:
    """Returns the warning for an old name in a file, as one sentence."""
    more = found.number - 1
    places = found.first_place + (f" and {more} more place{'s' * (more > 1)}" if more else "")
    return (
        f"`{found.key.old}` is now called `{found.key.new}` ({where}{', ' + places if places else ''}). "
        f"The next release no longer accepts the old name; `wdr check --migrate {where}` rewrites the file"
    )


def _renamed(raw: Any, keys: Iterable[RenamedKey]) -> Any:
    for key in keys:
        raw = _Renaming(key, "a config's JSON").within(raw, key.section, ())
    return raw


class _Renaming:
    """The renaming of one key; `places` has the places where the old name was found.

    A node that YAML's aliases put into many places is renamed once, so that the work is bounded by the file's size.
    """

    def __init__(self, key: RenamedKey, where: str) -> None:
        self.places: list[str] = []
        self._key, self._where = key, where
        self._done: dict[tuple[int, int], Any] = {}

    def within(self, node: Any, section: tuple[str, ...], place: tuple[str, ...]) -> Any:
        """Returns a copy of a node in which the key of a section below it has its new name."""
        done = self._done.get((id(node), len(section)))
        if done is None:
            done = self._done[id(node), len(section)] = self._within(node, section, place)
        return done

    def _within(self, node: Any, section: tuple[str, ...], place: tuple[str, ...]) -> Any:
        if not section:
            return self._with_new_name(node, place) if isinstance(node, dict) else node
        head, rest = section[0], section[1:]
        if head == EACH and isinstance(node, list | tuple):
            return [self.within(entry, rest, (*place, _name_of(entry, i))) for i, entry in enumerate(node)]
        if not isinstance(node, dict):
            return node
        return {
            name: self.within(entry, rest, (*place, str(name))) if head in (EACH, name) else entry
            for name, entry in node.items()
        }

    def _with_new_name(self, node: dict[Any, Any], place: tuple[str, ...]) -> dict[Any, Any]:
        key = self._key
        if key.old not in node:
            return node
        path = ".".join(place)
        if key.new in node:
            where = f"{self._where}{', ' + path if path else ''}"
            raise ConfigError(f"`{key.new}` and its old name `{key.old}` are both given; keep one of them ({where})")
        self.places.append(path)
        return {
            (key.new if name == key.old else name): (key.of_value(value) if name == key.old else value)
            for name, value in node.items()
        }


def _name_of(entry: Any, index: int) -> str:
    return str(entry.get("name", index)) if isinstance(entry, dict) else str(index)
