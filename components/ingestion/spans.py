"""Resolves the files that a run reads: the span, and every source's files for it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import posixpath
import re
from collections.abc import Iterable, Mapping

from components import storage
from components.ingestion.formats.files import is_gzip
from components.ingestion.served.exported import whole_files
from transform.config.component_settings import IngestionSettings
from transform.errors import InputError, UnreadableError
from transform.feature import IMPRESSIONS
from transform.ranking import snapshot_tables

_GONE = "the file cannot be read: it is a link to nothing, or went away"

SPAN_TOKENS = ("{SPAN", "{YYYY}", "{MM}", "{DD}")

#: The tokens in a path, as in TFX's ExampleGens; the width of `{SPAN:2}` is that of the number, with leading zeros.
_TOKEN = re.compile(r"\{(?P<name>SPAN|YYYY|MM|DD)(?::(?P<width>[^}]*))?\}")
_VERSION = re.compile(r"\{VERSION(?::[^}]*)?\}")

#: The lengths of a date's parts.
_DATE_PARTS = {"YYYY": 4, "MM": 2, "DD": 2}

_EPOCH = datetime.date(1970, 1, 1)


class NoSpanError(InputError):
    """There are no impressions for the requested span, but there are for another span."""


@dataclasses.dataclass(frozen=True)
class SpanFiles:
    """One span's files.

    Attributes:
      span: The span's number; 0 if the config's paths name no span. For a date, the days since 1970-01-01.
      files: The sorted paths by source, then by split (the empty name if the log is not split yet).
      fingerprint: A digest that changes if a file is added, removed or rewritten.
      span_fingerprint: The same of the files whose path names the span: a store rewrites a table that all spans share
        every day. Without spans, it is of all files.
      num_bytes: The size of all files, as stored.
      num_gzip_bytes: The size of those among them whose names end in `.gz`.
    """

    span: int
    files: dict[str, dict[str, tuple[str, ...]]]
    fingerprint: str
    span_fingerprint: str
    num_bytes: int
    num_gzip_bytes: int


def resolve_span(config: IngestionSettings, data_root: str, span: int | None = None) -> SpanFiles:
    """Finds a span's files.

    Args:
      config: The config with the sources.
      data_root: The folder that the sources' paths are relative to.
      span: The requested span; None takes the latest span that has impressions.

    Returns:
      The span and its files.

    Raises:
      NoSpanError: If the span has no impressions.
      InputError: If a source has no file for the span, or a file is in two splits.
      UnreadableError: If a file's status, or a folder of the span, cannot be read now.
    """
    log_paths = config.sources.impressions.paths
    number = _find_span(data_root, max(log_paths.values(), key=_names_span), span)
    files: dict[str, dict[str, tuple[str, ...]]] = {
        IMPRESSIONS: {
            split: _of_log(config, _files(data_root, path, number, IMPRESSIONS))
            for split, path in sorted(log_paths.items())
        }
    }
    _check_splits(files[IMPRESSIONS])
    read = snapshot_tables(config) if config.sources.are_served else config.sources.tables
    others = {name: config.sources.tables[name] for name in read}
    for name, path in [(n, t.path) for n, t in sorted(others.items())] + (
        [("installs", config.sources.installs.path)] if config.sources.installs else []
    ):
        files[name] = {"": _files(data_root, path, number, name)}
    if config.sources.installs:
        files["installs"][""] = _of_log(config, files["installs"][""])
    shared = {name for name, table in others.items() if has_spans(config) and not _names_span(table.path)}
    digest, of_span = hashlib.sha256(), hashlib.sha256()
    num_bytes = num_gzip_bytes = 0
    for name, by_split in sorted(files.items()):
        for split, paths in sorted(by_split.items()):
            for path in paths:
                try:
                    status = storage.status(path)
                except FileNotFoundError as error:
                    raise InputError(f"{_GONE} ({path})") from error
                except OSError as error:
                    raise UnreadableError.of(path, error) from error
                line = f"{name}/{split}/{path}:{status.num_bytes}:{status.written_at}\n".encode()
                num_bytes += status.num_bytes
                num_gzip_bytes += status.num_bytes if is_gzip(path) else 0
                digest.update(line)
                if name not in shared:
                    of_span.update(line)
    return SpanFiles(number, files, digest.hexdigest(), of_span.hexdigest(), num_bytes, num_gzip_bytes)


def _of_log(config: IngestionSettings, paths: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the files of a log that are whole: those of a served log stand in the record of an export."""
    if not config.sources.are_served:
        return paths
    if not (whole := whole_files(paths)):
        raise InputError(f"a span of a served log has a file of a whole export. Received: none ({paths[0]})")
    return whole


def _check_splits(files: Mapping[str, Iterable[str]]) -> None:
    """Raises InputError if a file is in two splits: the model would be evaluated on rows that it was trained on."""
    split_of: dict[str, str] = {}
    for split, paths in sorted(files.items(), reverse=True):
        for path in paths:
            other = split_of.setdefault(posixpath.normpath(path), split)
            if other != split:
                raise InputError(
                    f"`impressions.splits`: a file must be in one split. Received: {path} in {other} and {split}"
                )


def list_paths(files: Mapping[str, Mapping[str, Iterable[str]]]) -> frozenset[str]:
    """Returns the paths of `SpanFiles.files`."""
    return frozenset(path for by_split in files.values() for paths in by_split.values() for path in paths)


def has_spans(config: IngestionSettings) -> bool:
    """Whether the impressions' paths name a span."""
    return any(_names_span(path) for path in config.sources.impressions.paths.values())


def has_dates(config: IngestionSettings) -> bool:
    """Whether the impressions' paths name the span as a date."""
    return any("{YYYY}" in path for path in config.sources.impressions.paths.values())


def earlier_spans(config: IngestionSettings, span: int) -> range:
    """Returns the spans that a run needs before its own, whether they have logs or not; empty without spans.

    They are those of its window and, with late labels, the one before the window: the window's first span completes its
    tail. With `window_spans: 2`, the run of span 5 needs 4, and with late labels 3 and 4.
    """
    number = config.ingestion.window_spans - 1 + config.sources.has_late_labels
    return range(max(0, span - number), span) if has_spans(config) else range(0)


def _names_span(path: str) -> bool:
    return any(token in path for token in SPAN_TOKENS)


def _find_span(data_root: str, pattern: str, span: int | None) -> int:
    """Returns the span, which has a path; the latest one if `span` is None."""
    place = posixpath.join(data_root, pattern)
    if not _tokens(pattern, IMPRESSIONS):
        if span is not None:
            raise InputError(f"a span was asked for ({span}), but the impressions' path names none ({pattern})")
        return 0
    if span is None:
        found = [_span_in(path, data_root, pattern) for path in storage.matches(data_root, _TOKEN.sub("*", pattern))]
        if not found:
            raise InputError(f"there are no impressions for any span ({place})")
        return max(found)
    filled = _filled(pattern, span)
    if filled is None or not _matches(data_root, filled):
        latest = _find_span(data_root, pattern, None)
        raise NoSpanError(f"there are no impressions for span {span}; the latest are of span {latest} ({place})")
    return span


def _tokens(pattern: str, source: str) -> list[str]:
    """Returns the names of the tokens in a source's path; raises InputError unless they name one span, or none."""
    if _VERSION.search(pattern):
        raise InputError(f"{{VERSION}} is not supported in a source's path ({source}: {pattern})")
    found = [match["name"] for match in _TOKEN.finditer(pattern)]
    widths = [match["width"] for match in _TOKEN.finditer(pattern) if match["width"] is not None]
    is_whole = sorted(found) in ([], ["SPAN"], sorted(_DATE_PARTS))
    if not is_whole or any(not re.fullmatch("[1-9][0-9]?", width) or found != ["SPAN"] for width in widths):
        raise InputError(
            "a path names the span as {SPAN}, or a date as {YYYY} {MM} {DD}: each once, not both, and {SPAN:2} for a "
            f"number of two digits. Received: {pattern} ({source})"
        )
    return found


def _span_in(path: str, data_root: str, pattern: str) -> int:
    """Returns the span that a path names; `path` is one of those that `pattern` matches below `data_root`."""
    found = re.fullmatch(_regex(pattern), path.removeprefix(posixpath.join(data_root, "")))
    parts = found.groupdict() if found else {}
    if parts and all(re.fullmatch("[0-9]{1,18}", part) for part in parts.values()):
        if "SPAN" in parts:
            return int(parts["SPAN"])
        with contextlib.suppress(ValueError):  # such as February 31st: told below
            return (datetime.date(*(int(parts[name]) for name in _DATE_PARTS)) - _EPOCH).days
    place = posixpath.join(data_root, pattern)
    raise InputError(f"a span must be a number, or a date that exists. Received: {path} ({place})")


def _regex(pattern: str) -> str:
    """Returns a regular expression for the paths that a pattern matches, with a group for each token."""
    regex, end = "", 0
    for token in _TOKEN.finditer(pattern):
        length = token["width"] or _DATE_PARTS.get(token["name"])
        group = f"[^/]{{{length}}}" if length else "[^/]*"
        regex += _regex_of_glob(pattern[end : token.start()]) + f"(?P<{token['name']}>{group})"
        end = token.end()
    return regex + _regex_of_glob(pattern[end:])


def _regex_of_glob(text: str) -> str:
    """Returns a regular expression for paths that the glob `text` matches: it says only how long their parts are."""
    parts = re.split(r"(\*+|\?|\[!?\]?[^]]*\])", text)  # the odd parts are wildcards
    one, any_number = "[^/]", "[^/]*"
    return "".join(
        (any_number if part[0] == "*" else one) if number % 2 else re.escape(part) for number, part in enumerate(parts)
    )


def _filled(pattern: str, span: int) -> str | None:
    """Returns a path with a span in place of the tokens; None if it cannot name that span."""
    values = {"SPAN": str(span)}
    if "{YYYY}" in pattern:
        try:
            date = _EPOCH + datetime.timedelta(days=span)
        except OverflowError:
            return None
        values = {"YYYY": f"{date.year:04}", "MM": f"{date.month:02}", "DD": f"{date.day:02}"}
    if any(len(values[token["name"]]) > int(token["width"]) for token in _TOKEN.finditer(pattern) if token["width"]):
        return None
    return _TOKEN.sub(lambda token: values[token["name"]].zfill(int(token["width"] or 1)), pattern)


def _matches(data_root: str, pattern: str) -> list[str]:
    """Returns the paths that a span's path matches; raises UnreadableError if one of its folders cannot be listed."""
    try:
        storage.check_listable(data_root, pattern)
    except OSError as error:
        raise UnreadableError.of(error.filename, error) from error
    return storage.matches(data_root, pattern)


def _files(data_root: str, pattern: str, span: int, source: str) -> tuple[str, ...]:
    _tokens(pattern, source)
    filled = _filled(pattern, span)
    found = [] if filled is None else _matches(data_root, filled)
    paths = tuple(path for path in found if not storage.is_folder(path))
    if not paths:
        raise InputError(f"the source `{source}` has no file ({posixpath.join(data_root, filled or pattern)})")
    return paths
