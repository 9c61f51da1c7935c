"""Writes the first config of a data set as commented YAML."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.initial_config.after_label import columns_after_label
from pipeline.initial_config.features import Guess, flag_runs, guess_columns, list_separator, null_words
from pipeline.initial_config.label import Label, guess_label, read_labels
from pipeline.initial_config.reading import read_sample
from pipeline.initial_config.sample import Sample, shown
from pipeline.initial_config.slices import item_slices
from transform.config.config_file import parse_config, parse_yaml
from transform.config.sources import DEFAULT_LIST_SEPARATOR
from transform.errors import InputError

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")


def initial_config(data: Path, label: str | None, max_rows: int, out: Path) -> str:
    """Guesses a config from the first rows of a file.

    Args:
      data: The file.
      label: The label's column if it is known.
      max_rows: The most rows that are read.
      out: The file that the config will be written to, for its comments.

    Returns:
      The config as YAML, which is valid.

    Raises:
      InputError: If the file cannot be read, or cannot be the impressions of a config, or a path is not printable.
    """
    if re.search(r"[*?\[\]{}\\]|^-", data.name) or not data.name.isprintable():
        raise InputError(f"the file's name must have none of * ? [ ] {{ }} \\ in it. Received: {data.name!r}")
    for path in (data.parent, out):
        if not str(path).isprintable():
            raise InputError(f"a path must have printable characters only. Received: {str(path)!r}")
    sample = read_sample(data, max_rows)
    nulls = null_words(sample)
    separator = list_separator(sample, nulls)
    found = guess_label(sample, label, nulls)
    guesses = guess_columns(sample, found.column, nulls, separator)
    after = columns_after_label(sample, read_labels(found, sample, nulls), guesses, nulls, separator)
    guesses = _without(after, guesses)
    if not any(guess.role == "feature" for guess in guesses):
        left_out = "".join(f"; left out: {shown(column)}: {reason}" for column, reason in list(after.items())[:3])
        raise InputError(f"a config needs a column to learn from beside the label {found.column!r}{left_out} ({data})")
    runs = flag_runs(sample, {found.column, *after}, nulls, separator)
    text = "\n".join(_lines(sample, nulls, separator, found, guesses, runs, out)) + "\n"
    parse_config(parse_yaml(text, out), str(out))
    return text


def _without(after: Mapping[str, str], guesses: Sequence[Guess]) -> list[Guess]:
    """Leaves out, instead of all features of it, each column that is known after the label."""
    left = {
        guess.column: Guess(guess.column, "left_out", after[guess.column]) for guess in guesses if guess.column in after
    }
    return [found for guess in guesses if (found := left.pop(guess.column, None) if guess.column in after else guess)]


def config_name(data: Path) -> str:
    """Returns the name of a file's config: small letters, digits and underscores, a letter first."""
    name = re.sub(r"[^a-z0-9]+", "_", data.name.split(".")[0].lower()).strip("_")[:60].strip("_")
    return name if name[:1].isalpha() else f"data_{name}".strip("_")


def shell_word(path: Path) -> str:
    """Returns a path as one word of a shell's command, which no command takes for an option."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def yaml_value(value: Any) -> str:
    """Returns a value as YAML on one line, each text quoted that could be anything but this text."""
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and yaml.safe_load(value) == value:
            return value
        return str(yaml.safe_dump(value, default_style='"', allow_unicode=False, width=float("inf"))).strip()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{yaml_value(key)}: {yaml_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(yaml_value, value)) + "]"
    return str(yaml.safe_dump(value)).split("\n")[0]


def _with_comment(line: str, reason: str) -> str:
    return f"{line}  # {reason}" if reason else line


def _lines(
    sample: Sample,
    nulls: Sequence[str],
    separator: str,
    label: Label,
    guesses: Sequence[Guess],
    runs: Sequence[Sequence[str]],
    out: Path,
) -> Iterator[str]:
    rows = f"{'all' if sample.is_whole else 'the first'} {sample.num_rows:,} rows"
    paths = shell_word(out), shell_word(sample.path.parent)
    yield f"# Guessed by `wdr init` from {rows} of {shown(sample.path.name)}; the reason stands behind each guess."
    yield "# Correct what is wrong, then check and run it:"
    yield "#"
    for command in ("wdr check {} --data {}", "wdr run {} --data {} --workspace runs/{}"):
        yield f"#   {command.format(*paths, config_name(sample.path))}"
    yield f"name: {yaml_value(config_name(sample.path))}"
    yield ""
    yield "sources:"
    yield "  impressions:"
    yield from (f"    {line}" for line in _source(sample, nulls, separator, label, guesses))
    yield ""
    yield "ingestion:"
    yield from (f"  {line}" for line in _split(guesses))
    yield ""
    yield from _features(guesses)
    for run in runs:
        yield from _as_list(run, guesses)
    yield ""
    yield "evaluation:"
    if user := next((guess for guess in guesses if guess.side == "context" and guess.is_user), None):
        yield f"  user: {user.name}  # by its name: the rows of one user stay together in the intervals' draws"
    yield "  thresholds:"
    yield "    auc: {min: 0.5}  # a better model than chance is pushed; raise it to what you need"
    if slices := list(item_slices(sample, guesses, nulls)):
        yield f"  slices: {yaml_value(slices)}  # by their names: a model may be wrong for some items alone"
        yield "  slice_thresholds:  # by how much a slice may be worse than by the serving model, beyond chance"
        yield "    auc: {max_worsening: 0.05}"
        yield "    logloss: {max_worsening: 0.02}"


def _source(
    sample: Sample, nulls: Sequence[str], separator: str, label: Label, guesses: Sequence[Guess]
) -> Iterator[str]:
    yield f"path: {yaml_value(sample.path.name)}  # below the folder that --data names"
    yield f"format: {sample.format}"
    text, reasons = sample.text, sample.reasons
    settings: dict[str, Any] = {
        "delimiter": text.delimiter,
        "quoting": text.quoting,
        "encoding": None if text.encoding == "utf-8" else text.encoding,
        "skip_lines": text.skip_lines or None,
        "columns": list(text.columns) or None,
    }
    given = {key: value for key, value in settings.items() if value is not None}
    if given:
        yield "text:"
        yield from (
            _with_comment(f"  {key}: {yaml_value(value)}", reasons.get(key, "")) for key, value in given.items()
        )
    if nulls:
        yield f"null_values: {yaml_value(['', *nulls])}  # no values, beside the empty text"
    if separator != DEFAULT_LIST_SEPARATOR:
        yield f"list_separator: {yaml_value(separator)}  # between the values of a list"
    yield _with_comment(f"label: {yaml_value(label.column)}", label.reason)
    if label.rule is not None:
        yield _with_comment(f"label_rule: {yaml_value(label.rule)}", label.rule_reason)
    if item := next((guess for guess in guesses if guess.side == "item" and guess.is_id), None):
        yield f"item_id: {yaml_value(item.column)}  # by its name: identifies what is ranked"
    for guess in guesses:
        if guess.role in ("request_id", "impression_id", "timestamp"):
            yield _with_comment(f"{guess.role}: {yaml_value(guess.column)}", guess.reason)


def _split(guesses: Sequence[Guess]) -> Iterator[str]:
    roles = {guess.role for guess in guesses}
    if "request_id" in roles:
        yield "split_by: request_hash  # a request goes whole into training or whole into evaluation"
    elif "impression_id" in roles:
        yield "split_by: impression_hash  # no column is the id of a request"
    else:
        yield "split_by: row_hash  # no column is the id of a request or a row"
    if "timestamp" in roles:
        yield "# or, to evaluate on the last hours: {split_by: time, eval_seconds: 14400}"
    yield "eval_fraction: 0.2"


def _as_list(columns: Sequence[str], guesses: Sequence[Guess]) -> Iterator[str]:
    """Yields, as a comment, the feature that reads columns of 0 and 1 as one list, if they are of one side."""
    names = {guess.name for guess in guesses}
    name = next(name for number in itertools.count(1) if (name := f"list_{number}") not in names)
    sides = {guess.side for guess in guesses if guess.role == "feature" and guess.column in columns}
    if len(sides) != 1:  # a list has one side
        return
    (side,) = sides
    feature = {"name": name, "side": side, "kind": "categorical_list", "one_hot": list(columns), "vocabulary": {}}
    yield f"  # {len(columns)} neighbouring columns have 0 and 1 alone. As one list, in place of a feature of each:"
    yield f"  # - {yaml_value(feature)}"


def _features(guesses: Sequence[Guess]) -> Iterator[str]:
    sides = {guess.side for guess in guesses if guess.role == "feature"}
    if "item" in sides:
        yield "# By the names: `context` is what all candidates of a request share, `item` what each has for itself."
    yield "features:"
    for guess in guesses:
        if guess.role == "left_out":
            yield f"  # left out: {shown(guess.column)}: {guess.reason}"
        if guess.role != "feature":
            continue
        settings: dict[str, Any] = {"name": guess.name}
        if guess.column != guess.name:
            settings["column"] = guess.column
        settings |= {"side": guess.side, "kind": guess.kind, **guess.rule}
        yield f"  - {yaml_value(settings)}  # {guess.reason}"
