"""Reads a deployment's YAML file into a validated `Config`.

A mistake is reported as one sentence that names the file, the key, the value received and what is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError
from yaml.constructor import ConstructorError

from transform.config import validation_errors as mistakes
from transform.config.config import Config
from transform.errors import ConfigError

MAX_CONFIG_BYTES = 1_000_000

_ADAPTER = TypeAdapter(Config)


class _UniqueKeyLoader(yaml.SafeLoader):
    """Rejects a key that occurs twice, of which YAML would keep the last, and a value that its tag does not allow."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._checked: set[yaml.MappingNode] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Checks a mapping's own keys before its merges are put in front of them, which PyYAML does in place.

        A mapping that another one merges is flattened there first, and again when it is constructed.
        """
        if node not in self._checked:
            self._checked.add(node)
            own = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
            keys = [self.construct_object(key, deep=True) for key in own]
            for i, key in enumerate(keys):
                if key in keys[:i]:
                    raise ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
        super().flatten_mapping(node)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (AttributeError, IndexError, KeyError, TypeError) as error:  # from PyYAML, for `!!bool x` and the like
            kind = node.tag.replace("tag:yaml.org,2002:", "!!")
            received = (
                repr(node.value)
                if isinstance(node, yaml.ScalarNode)
                else ("a mapping" if isinstance(node, yaml.MappingNode) else "a sequence")
            )
            what = f"`{kind}` must have a value of that type. Received: {received}"
            raise ConstructorError(None, None, what, node.start_mark) from error


def load_config(path: str | Path) -> Config:
    """Reads and validates a YAML file.

    Raises:
      ConfigError: If the file cannot be read, is not YAML, or breaks a rule.
    """
    return parse_config(parse_yaml(read_text(path), path), str(path))


def read_text(path: str | Path) -> str:
    """Reads a config file's text, with its line ends as they are; raises ConfigError if it is none."""
    path = Path(path)
    try:
        size = path.stat().st_size
        text = path.read_bytes().decode("utf-8") if size <= MAX_CONFIG_BYTES else ""
    except OSError as error:
        raise ConfigError(f"the config cannot be read: {error.strerror} ({path})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"a config must be UTF-8 text: {error.reason} at byte {error.start} ({path})") from error
    if size > MAX_CONFIG_BYTES:
        raise ConfigError(f"a config has at most {MAX_CONFIG_BYTES} bytes. Received: {size} ({path})")
    return text


def parse_yaml(text: str, where: str | Path) -> dict[str, Any]:
    """Parses a config file's text into its mapping of keys; raises ConfigError, which names `where`, if it has none."""
    try:
        raw = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an invalid date, a number too long
        raise ConfigError(f"the config is not valid YAML: {' '.join(str(error).split())} ({where})") from error
    except RecursionError as error:
        raise ConfigError(f"the config is nested too deeply ({where})") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"a config must be a mapping of keys. Received: {type(raw).__name__} ({where})")
    return raw


def parse_config(raw: Mapping[str, Any], where: str) -> Config:
    """Validates a config that is already a mapping; `where` is its origin, for errors.

    Raises:
      ConfigError: If it breaks a rule.
    """
    if "spec" in raw:
        raise ConfigError(f"`spec` is not a known key; did you mean `features`? ({where})")
    sections = {key: value for key, value in raw.items() if key not in mistakes.SPEC_KEYS}
    sections["spec"] = {key: value for key, value in raw.items() if key in mistakes.SPEC_KEYS}
    try:
        return _ADAPTER.validate_python(sections)
    except ValidationError as error:
        raise ConfigError("\n".join(mistakes.sentences(error, sections, where, _ADAPTER.json_schema()))) from error
