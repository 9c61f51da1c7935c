"""Writes the first config of a data set as commented YAML."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.initial_config.after_label import columns_after_label
from pipeline.initial_config.candidates import with_sides
from pipeline.initial_config.features import Guess, guess_columns
from pipeline.initial_config.ids import with_ids
from pipeline.initial_config.installs import InstallsGuess, guess_installs
from pipeline.initial_config.label import Label, guess_label, read_labels
from pipeline.initial_config.measured.combinations import Combination, Combinations, choose
from pipeline.initial_config.measured.training_lines import training_lines
from pipeline.initial_config.samples.conventions import flag_runs, list_separator, null_words
from pipeline.initial_config.samples.reading import read_sample
from pipeline.initial_config.samples.sample import Sample, shown
from pipeline.initial_config.served import is_export, served_lines, served_root
from pipeline.initial_config.slices import item_slices
from pipeline.initial_config.source_lines import (
    ATTRIBUTION,
    below,
    installs_lines,
    shell_word,
    source_lines,
    table_lines,
    with_comment,
    yaml_value,
)
from pipeline.initial_config.split import Split, choose_split
from pipeline.initial_config.tables import TableGuess, join_tables
from transform.combinations import USUAL_MIN_COUNT
from transform.config.config_file import parse_config, parse_yaml
from transform.errors import InputError
from transform.feature import IMPRESSIONS


class InitialConfig(NamedTuple):
    """A first config.

    Attributes:
      text: The config as YAML, which is valid.
      data_root: The folder that `--data` names.
      label: Where its labels come from, in one sentence.
      tables: By which columns each table is joined to the log, and why, in one sentence each.
    """

    text: str
    data_root: Path
    label: str
    tables: tuple[str, ...] = ()


def initial_config(
    data: Path,
    label: str | None,
    max_rows: int,
    out: Path,
    installs: Path | None = None,
    tables: Sequence[Path] = (),
) -> InitialConfig:
    """Guesses a config from the first rows of files.

    Args:
      data: The file of the log.
      label: The label's column if it is known.
      max_rows: The most rows that are read.
      out: The file that the config will be written to, for its comments.
      installs: The file of the installs if the labels are made from them; then `label` is None.
      tables: The files of tables that are joined to the log.

    Raises:
      InputError: If a file cannot be read, or they cannot be the impressions, the installs and the tables of a config,
        or a path is not printable.
    """
    files = [data, *([installs] if installs is not None else []), *tables]
    if twice := [str(path) for path, number in Counter(path.resolve() for path in files).items() if number > 1]:
        raise InputError(f"each file must be named once. Received more often: {twice}")
    if is_export(data):
        return _of_export(data, label, max_rows, out, others=files[1:])
    root = data.parent
    if any(path.parent != root for path in files):
        are_relative = not any(path.is_absolute() for path in files)
        root = Path(os.path.commonpath([(p if are_relative else p.absolute()).parent for p in files]))
    for path in (root, out):
        if not str(path).isprintable():
            raise InputError(f"a path must have printable characters only. Received: {str(path)!r}")
    for path in files:
        name = below(root, path)
        if re.search(r"[*?\[\]{}\\]|^-", name) or not name.isprintable():
            raise InputError(f"the file's name must have none of * ? [ ] {{ }} \\ in it. Received: {name!r}")
    guessed = _guess(data, label, max_rows, installs, tables)
    text = "\n".join(_lines(guessed, root, out)) + "\n"
    parse_config(parse_yaml(text, out), str(out))
    of_label = f"made from the installs, {ATTRIBUTION}"
    if guessed.label is not None:
        of_label = f"{shown(guessed.label.column)}: {guessed.label.reason}"
    joined = (
        f"{table.name}: its {shown(table.key)} is the log's {shown(table.log_column)}, {table.reason}"
        for table in guessed.tables
    )
    return InitialConfig(text, root, of_label, tuple(joined))


def _of_export(data: Path, label: str | None, max_rows: int, out: Path, others: Sequence[Path]) -> InitialConfig:
    if label is not None or others:
        received = f"the label {label!r}" if label is not None else str(others[0])
        raise InputError(
            "of an export of the serving log, the events make the label, and no other file is joined. "
            f"Received: {received}"
        )
    text = "\n".join(served_lines(data, max_rows, out, config_name(out))) + "\n"
    parse_config(parse_yaml(text, out), str(out))
    return InitialConfig(text, served_root(data), "made from the log's events of the type install")


@dataclasses.dataclass(frozen=True)
class _Guessed:
    """What a config is written from; without a label, labels are made from installs."""

    sample: Sample
    nulls: tuple[str, ...]
    separator: str
    label: Label | None
    installs: InstallsGuess | None
    guesses: Sequence[Guess]
    runs: Sequence[Sequence[str]]
    tables: Sequence[TableGuess]
    split: Split
    combinations: Combinations


def _guess(data: Path, name: str | None, max_rows: int, installs: Path | None, table_files: Sequence[Path]) -> _Guessed:
    sample = read_sample(data, max_rows)
    nulls = null_words(sample)
    separator = list_separator(sample, nulls)
    label = guess_label(sample, name, nulls) if installs is None else None
    labels = read_labels(label, sample, nulls) if label is not None else [None] * sample.num_rows
    of_columns = guess_columns(sample, label.column if label is not None else None, nulls, separator)
    guesses = with_ids(sample, labels, of_columns, nulls)
    tables, guesses = join_tables(table_files, max_rows, sample, guesses)
    guesses = with_sides(sample, guesses)
    guesses = _without(columns_after_label(sample, labels, guesses, nulls, separator), guesses)
    tables = [
        dataclasses.replace(
            table, guesses=_without(columns_after_label(table.joined, labels, table.guesses, (), ""), table.guesses)
        )
        for table in tables
    ]
    features = {guess.column for guess in guesses if guess.role == "feature"}
    left_out = {guess.column for guess in of_columns if guess.role == "feature"} - features
    if not features:
        beside = f" beside the label {label.column!r}" if label is not None else ""
        reasons = [
            f"; left out: {shown(guess.column)}: {guess.reason}"
            for guess in guesses
            if guess.column in left_out or guess.is_time
        ]
        raise InputError(f"a config needs a column to learn from{beside}{''.join(reasons[:3])} ({data})")
    runs = flag_runs(sample, left_out | ({label.column} if label is not None else set()), nulls, separator)
    of_installs = guess_installs(installs, max_rows, sample, guesses) if installs is not None else None
    split = choose_split(sample, labels, guesses)
    combinations = choose(sample, labels, guesses, nulls, separator, by_time=split.is_by_time)
    return _Guessed(
        sample, nulls, separator, label, of_installs, combinations.guesses, runs, tables, split, combinations
    )


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


def _lines(guessed: _Guessed, root: Path, out: Path) -> Iterator[str]:
    sample, guesses = guessed.sample, guessed.guesses
    rows = f"{'all' if sample.is_whole else 'the first'} {sample.num_rows:,} rows"
    paths = shell_word(out), shell_word(root)
    yield f"# Guessed by `wdr init` from {rows} of {shown(sample.path.name)}; the reason stands behind each guess."
    yield "# Correct what is wrong, then check and run it:"
    yield "#"
    for command in ("wdr check {} --data {}", "wdr run {} --data {} --workspace runs/{}"):
        yield f"#   {command.format(*paths, config_name(sample.path))}"
    yield f"name: {yaml_value(config_name(sample.path))}"
    yield ""
    yield "sources:"
    yield "  impressions:"
    yield from (f"    {line}" for line in source_lines(sample, root, guessed.nulls, guessed.separator))
    yield from (f"    {line}" for line in _impressions(guessed.label, guesses))
    if guessed.installs is not None:
        yield "  installs:"
        yield from (f"    {line}" for line in installs_lines(guessed.installs, root))
    if guessed.tables:
        yield "  tables:"
        yield from (f"    {line}" for table in guessed.tables for line in table_lines(table, root))
    yield ""
    yield "ingestion:"
    yield from (f"  {line}" for line in guessed.split.lines())
    yield ""
    all_guesses = itertools.chain(guesses, *(table.guesses for table in guessed.tables))
    if any(guess.role == "feature" and guess.side == "item" for guess in all_guesses):
        yield "# `context` is what all candidates of a request share, `item` what each has for itself, as guessed."
    yield "features:"
    yield from _features(guesses)
    for table in guessed.tables:
        yield f"  # of the table `{table.name}`:"
        yield from _features(table.guesses, table.name)
    for run in guessed.runs:
        yield from _as_list(run, guesses)
    yield from _combined("crosses", guessed.combinations.crosses, {"min_count": USUAL_MIN_COUNT})
    yield from _combined("count_encodings", guessed.combinations.counts, {})
    yield from training_lines(sample, [*guesses, *(guess for table in guessed.tables for guess in table.guesses)])
    yield ""
    yield "evaluation:"
    if user := next((guess for guess in guesses if guess.side == "context" and guess.entity == "user"), None):
        yield f"  user: {user.name}  # the rows of one user stay together in the intervals' draws"
    yield "  thresholds:"
    yield "    auc: {min: 0.5}  # a better model than chance is pushed; raise it to what you need"
    of_tables = (name for table in guessed.tables for name in item_slices(table.joined, table.guesses, ()))
    if slices := [*item_slices(sample, guesses, guessed.nulls), *of_tables]:
        yield f"  slices: {yaml_value(slices)}  # by their names: a model may be wrong for some items alone"
        yield "  slice_thresholds:  # by how much a slice may be worse than by the baseline, beyond chance"
        yield "    auc: {max_worsening: 0.05}"
        yield "    logloss: {max_worsening: 0.02}"


def _impressions(label: Label | None, guesses: Sequence[Guess]) -> Iterator[str]:
    if label is not None:
        yield with_comment(f"label: {yaml_value(label.column)}", label.reason)
        if label.rule is not None:
            yield with_comment(f"label_rule: {yaml_value(label.rule)}", label.rule_reason)
    if item := next((guess for guess in guesses if guess.side == "item" and guess.entity == "item"), None):
        yield f"item_id: {yaml_value(item.column)}  # identifies what is ranked"
    for guess in guesses:
        if guess.role in ("request_id", "impression_id", "timestamp"):
            yield with_comment(f"{guess.role}: {yaml_value(guess.column)}", guess.reason)
            yield from (f"{key}: {yaml_value(value)}" for key, value in guess.rule.items())


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


def _combined(key: str, found: Sequence[Combination], rule: Mapping[str, object]) -> Iterator[str]:
    """Yields the section of crosses or count encodings; one that is only offered is a comment."""
    if found:
        yield ""
        yield f"{'' if any(combination.is_taken for combination in found) else '# '}{key}:"
    for combination in found:
        line = f"  - {yaml_value({'features': combination.features, **rule})}  # {combination.reason}"
        yield line if combination.is_taken else f"  # offered: {line.strip()}"


def _features(guesses: Sequence[Guess], source: str = IMPRESSIONS) -> Iterator[str]:
    for guess in guesses:
        if guess.role == "left_out":
            yield f"  # left out: {shown(guess.column)}: {guess.reason}"
        if guess.role != "feature":
            continue
        settings: dict[str, Any] = {"name": guess.name}
        if guess.column != guess.name:
            settings["column"] = guess.column
        if source != IMPRESSIONS:
            settings["source"] = source
        settings |= {"side": guess.side, "kind": guess.kind, **guess.rule}
        yield f"  - {yaml_value(settings)}  # {guess.reason}"
