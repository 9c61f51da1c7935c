"""Resolves the files that a run reads: the span, and every source's files for it."""

from __future__ import annotations

import dataclasses
import hashlib
import posixpath
import re

import tensorflow as tf

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.components.example_gen import utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2, range_config_pb2

from transform.config.config import Config
from transform.errors import InputError
from transform.feature_spec import IMPRESSIONS

#: The error messages of TFX 1.21.0 about a file whose path has no valid span at the span's place.
_NO_SPAN_IN_PATH = re.compile(
    r"Cannot find span number (?:using date )?from (?P<path>.*) based on "
    r"|Retrieved date is invalid for file: (?P<dated>.*)"
)

_GONE = "the file cannot be read: it is a link to nothing, or went away"

SPAN_TOKENS = ("{SPAN", "{YYYY}", "{MM}", "{DD}")


class NoSpanError(InputError):
    """There are no impressions for the requested span, but there are for another span."""


@dataclasses.dataclass(frozen=True)
class SpanFiles:
    """One span's files.

    Attributes:
      span: The span's number; 0 if the config's paths name no span. For a date, the days since 1970-01-01.
      files: The sorted paths by source, then by split (the empty name if the log is not split yet).
      fingerprint: A digest that changes if a file is added, removed or rewritten.
    """

    span: int
    files: dict[str, dict[str, tuple[str, ...]]]
    fingerprint: str


def resolve_span(config: Config, data_root: str, span: int | None = None) -> SpanFiles:
    """Finds a span's files.

    Args:
      config: The config with the sources.
      data_root: The folder that the sources' paths are relative to.
      span: The requested span; None takes the latest span that has impressions.

    Returns:
      The span and its files.

    Raises:
      NoSpanError: If the span has no impressions.
      InputError: If a source has no file for the span, or a file's status cannot be read.
    """
    log_paths = config.sources.impressions.paths
    number = _find_span(data_root, max(log_paths.values(), key=_names_span), span)
    files: dict[str, dict[str, tuple[str, ...]]] = {
        IMPRESSIONS: {split: _files(data_root, path, number, IMPRESSIONS) for split, path in sorted(log_paths.items())}
    }
    others = dict(config.sources.tables)
    for name, path in [(n, t.path) for n, t in sorted(others.items())] + (
        [("installs", config.sources.installs.path)] if config.sources.installs else []
    ):
        files[name] = {"": _files(data_root, path, number, name)}
    digest = hashlib.sha256()
    for name, by_split in sorted(files.items()):
        for split, paths in sorted(by_split.items()):
            for path in paths:
                try:
                    stat = tf.io.gfile.stat(path)
                except tf.errors.OpError as error:
                    raise InputError(f"{_GONE} ({path})") from error
                digest.update(f"{name}/{split}/{path}:{stat.length}:{stat.mtime_nsec}\n".encode())
    return SpanFiles(number, files, digest.hexdigest())


def has_spans(config: Config) -> bool:
    """Whether the impressions' paths name a span."""
    return any(_names_span(path) for path in config.sources.impressions.paths.values())


def has_dates(config: Config) -> bool:
    """Whether the impressions' paths name the span as a date."""
    return any("{YYYY}" in path for path in config.sources.impressions.paths.values())


def earlier_spans(config: Config, span: int) -> range:
    """Returns the spans of a window before its last one, whether they have logs or not; empty without spans."""
    return range(max(0, span - config.ingestion.window_spans + 1), span) if has_spans(config) else range(0)


def _names_span(path: str) -> bool:
    return any(token in path for token in SPAN_TOKENS)


def _find_span(data_root: str, pattern: str, span: int | None) -> int:
    split = example_gen_pb2.Input.Split(name="all", pattern=pattern)
    is_span, is_date, _ = _specs(split)
    if not (is_span or is_date):
        if span is not None:
            raise InputError(f"a span was asked for ({span}), but the impressions' path names none ({pattern})")
        return 0
    wanted = range_config_pb2.RangeConfig()
    if span is None:
        wanted.rolling_range.num_spans = 1
    else:
        wanted.static_range.start_span_number = wanted.static_range.end_span_number = span
    try:
        _, number, _ = utils.calculate_splits_fingerprint_span_and_version(data_root, [split], wanted)
    except (fileio.NotFoundError, tf.errors.OpError) as error:
        raise InputError(f"{_GONE} ({posixpath.join(data_root, pattern)})") from error
    except (ValueError, OverflowError) as error:  # OverflowError: the date is out of range
        place = posixpath.join(data_root, pattern)
        found = _NO_SPAN_IN_PATH.match(str(error))
        if found:
            path = found["path"] or found["dated"]
            raise InputError(f"a span must be a number, or a date that exists. Received: {path} ({place})") from error
        if span is None:
            raise InputError(f"there are no impressions for any span ({place})") from error
        latest = _find_span(data_root, pattern, None)
        raise NoSpanError(
            f"there are no impressions for span {span}; the latest are of span {latest} ({place})"
        ) from error
    return int(number)


def _specs(split: example_gen_pb2.Input.Split) -> tuple[bool, bool, bool]:
    try:
        specs: tuple[bool, bool, bool] = utils.verify_split_pattern_specs(split)
    except ValueError as error:
        raise InputError(f"a path names the span as {{SPAN}}, or a date as {{YYYY}} {{MM}} {{DD}}: {error}") from error
    return specs


def _files(data_root: str, pattern: str, span: int, source: str) -> tuple[str, ...]:
    is_span, is_date, is_version = _specs(example_gen_pb2.Input.Split(name=source, pattern=pattern))
    if is_version:
        raise InputError(f"{{VERSION}} is not supported in a source's path ({source}: {pattern})")
    filled = utils.get_pattern_for_span_version(pattern, is_span, is_date, False, span, None)
    full = posixpath.join(data_root, filled)
    paths = tuple(sorted(p for p in tf.io.gfile.glob(full) if not tf.io.gfile.isdir(p)))
    if not paths:
        raise InputError(f"the source `{source}` has no file ({full})")
    return paths
