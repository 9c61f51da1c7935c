"""Rewrites the old names of keys in a config file, and nothing else of the file (`wdr check --migrate`)."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from transform.config.config import parse_yaml, read_text
from transform.config.renamed_keys import EACH, RENAMED_KEYS, RenamedKey, in_file
from transform.errors import ConfigError

_MERGE_TAG = "tag:yaml.org,2002:merge"

#: The texts to replace: their first and last position, with the new text.
_Edits = dict[tuple[int, int], str]


def migrate_file(path: str | Path) -> list[str]:
    """Replaces the old names of keys in a config file; comments, order and layout stay.

    The new content is written beside the file, which it then replaces. A file without old names is not written.

    Args:
      path: The file.

    Returns:
      The changes in the file's order, each with its line.

    Raises:
      ConfigError: If the file is not YAML, has both names of a key, or writes an old name in such a way that it cannot
        be replaced where it stands.
    """
    text = read_text(path)
    expected, found = in_file(parse_yaml(text, path), str(path))
    if not found:
        return []
    edits: _Edits = {}
    changes: dict[int, str] = {}
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert root is not None  # it is the mapping that was parsed above
    for key in RENAMED_KEYS:
        for mapping in _mappings([root], key.section):
            for name, value in mapping.value:
                if isinstance(name, yaml.ScalarNode) and name.value == key.old:
                    edits[_span(name)] = _text(text, name).replace(key.old, key.new)
                    values = _value_edits(text, key, value)
                    edits |= values
                    changes[name.start_mark.index] = _described(text, key, name, value, values)
    migrated = _replaced(text, edits)
    if not _has_content(migrated, expected, path):
        names = ", ".join(f"`{old.key.old}`" for old in found)
        rule = "an old name is rewritten only where it, and its value, stand as plain text; rename by hand"
        raise ConfigError(f"{rule}. Received: {names} ({path})")
    _replace_file(Path(path), migrated.encode())
    return [change for _, change in sorted(changes.items())]


def _has_content(text: str, expected: object, path: str | Path) -> bool:
    try:
        return parse_yaml(text, path) == expected
    except ConfigError:
        return False


def _mappings(nodes: Iterable[yaml.Node], section: tuple[str, ...]) -> list[yaml.MappingNode]:
    """Returns the mappings of a section below some nodes, each once, with those that YAML's `<<` merges into them."""
    layers = list({id(layer): layer for node in nodes for layer in _layers(node, set())}.values())
    if not section:
        return layers
    head, rest = section[0], section[1:]
    children = [
        value
        for layer in layers
        for key, value in layer.value
        if key.tag != _MERGE_TAG and head in (EACH, getattr(key, "value", None))
    ]
    if head == EACH:
        children += [entry for node in nodes if isinstance(node, yaml.SequenceNode) for entry in node.value]
    return _mappings({id(child): child for child in children}.values(), rest)


def _layers(node: yaml.Node, seen: set[int]) -> Iterator[yaml.MappingNode]:
    if not isinstance(node, yaml.MappingNode) or id(node) in seen:
        return
    seen.add(id(node))
    yield node
    for key, value in node.value:
        if key.tag == _MERGE_TAG:
            for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                yield from _layers(merged, seen)


def _value_edits(text: str, key: RenamedKey, value: yaml.Node) -> _Edits:
    """Returns the edits of a key's value, where its form has changed too."""
    scalars = [value]
    if key.in_choices:
        choices = [child for layer in _layers(value, set()) for name, child in layer.value if name.value == "choices"]
        scalars = [entry for child in choices if isinstance(child, yaml.SequenceNode) for entry in child.value]
    edits = {}
    for scalar in scalars:
        if isinstance(scalar, yaml.ScalarNode):
            old = yaml.SafeLoader("").construct_object(scalar)
            new = key.new_value(old)
            if new is not old:
                edits[_span(scalar)] = str(new)
    return edits


def _described(text: str, key: RenamedKey, name: yaml.Node, value: yaml.Node, values: _Edits) -> str:
    line = f"line {name.start_mark.line + 1}"
    if not values:
        return f"{line}: `{key.old}` is now `{key.new}`"
    before, after = _text(text, value), _replaced(text, values, *_span(value))
    return f"{line}: `{key.old}: {before}` is now `{key.new}: {after}`"


def _span(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.index, node.end_mark.index


def _text(text: str, node: yaml.Node) -> str:
    start, end = _span(node)
    return text[start:end]


def _replaced(text: str, edits: _Edits, start: int = 0, end: int | None = None) -> str:
    """Returns a text, or the part of it from `start` to `end`, with the edits made."""
    parts = []
    for (first, last), new in sorted(edits.items()):
        parts += [text[start:first], new]
        start = last
    return "".join([*parts, text[start:end]])


def _replace_file(path: Path, content: bytes) -> None:
    """Writes a file anew through a rename, so that it is never half-written; its permissions stay."""
    target = path.resolve()  # behind a link, the link stays
    descriptor, part = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(target, part)
        os.replace(part, target)
    except BaseException:
        os.unlink(part)
        raise
