"""The config's section `sources`: where the rows are, and how they are joined."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from transform.config.serving_log import SERVING_LOG, check_sources
from transform.config.settings import FiniteFloat, NonNegativeFloat, PositiveFloat, PositiveInt
from transform.feature import IMPRESSIONS, STRICT, Name
from transform.raw_texts import check_delimiter, check_time_format, null_words, trimmed

DEFAULT_LIST_SEPARATOR = "|"

ColumnName = Annotated[str, Field(min_length=1)]
Format = Literal["csv", "tsv", "jsonl", "parquet", "tfrecord", "serving_log"]

#: How the texts of a time are read, such as `%b %d, %Y` for `Feb 28, 2014`.
TimeTexts = Annotated[str, Field(max_length=100), AfterValidator(check_time_format)]

#: The formats whose rows are lines of delimited fields.
DELIMITED = ("csv", "tsv")


def _check_relative(path: str) -> str:
    if not path or path.startswith("/") or ".." in path.split("/") or "://" in path:
        raise ValueError("must be a path below the data folder, without a leading `/` and without `..`")
    return path


RelativePath = Annotated[str, AfterValidator(_check_relative)]


@dataclass(frozen=True, config=STRICT)
class DelimitedText:
    r"""How the files of a `csv` or `tsv` source are read.

    Attributes:
      delimiter: One or more characters between two fields, such as `::`; left out, a comma in `csv` and a tab in `tsv`.
        `\s+` is a run of blanks and tabs, as in a table with aligned columns; one at either end of a line is ignored.
      quoting: Whether a field may stand in double quotes; left out, it may in `csv` and not in `tsv`.
      columns: The names of the columns, in their order, of files without a header line; left out, a file's first line
        names them.
      encoding: How the files' bytes are text.
      line_end: `lf`: a line ends in `\n` or `\r\n`; `cr`: in `\r`, as in files of old Macs.
      skip_lines: So many lines at the beginning of each file, before its header line, are not read.
    """

    delimiter: Annotated[str | None, AfterValidator(check_delimiter)] = None
    quoting: bool | None = None
    columns: Annotated[tuple[ColumnName, ...], Field(max_length=10_000)] = ()
    encoding: Literal["utf-8", "latin-1", "windows-1252"] = "utf-8"
    line_end: Literal["lf", "cr"] = "lf"
    skip_lines: Annotated[int, Field(ge=0, le=1000)] = 0

    @model_validator(mode="after")
    def _columns_differ(self) -> DelimitedText:
        if twice := sorted({name for name in self.columns if self.columns.count(name) > 1}):
            raise ValueError(f"`text.columns` names each column once. Received twice: {twice}")
        return self


def _check_text(source: Source | Impressions) -> None:
    if source.format not in DELIMITED and source.text != DelimitedText():
        raise ValueError(f"`text` goes with the formats {' and '.join(DELIMITED)} only. Received: {source.format}")


@dataclass(frozen=True, config=STRICT)
class LabelRule:
    """The label of a row whose label column has something else than 0 or 1.

    Attributes:
      positive: The values, as texts, with label 1. A value is trimmed before it is compared.
      negative: With `positive`: the values with label 0, and a row with any other value is rejected. Left out, all
        other values have label 0.
      at_least: In place of `positive`: a number from this one on has label 1, a lower one label 0.
    """

    positive: Annotated[tuple[ColumnName, ...], Field(max_length=1000)] = ()
    negative: Annotated[tuple[ColumnName, ...], Field(max_length=1000)] = ()
    at_least: FiniteFloat | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> LabelRule:
        if bool(self.positive) == (self.at_least is not None):
            raise ValueError("`label_rule` has exactly one of `positive` and `at_least`")
        if self.negative and not self.positive:
            raise ValueError("`label_rule.negative` goes with `positive` only")
        if both := sorted({*map(trimmed, self.positive)} & {*map(trimmed, self.negative)}):
            raise ValueError(f"`label_rule` has a value in one of `positive` and `negative` only. Received: {both}")
        return self


@dataclass(frozen=True, config=STRICT)
class Source:
    """Where rows are read from.

    Attributes:
      path: A glob below the data folder. `{SPAN}`, or a date as `{YYYY}-{MM}-{DD}`, stands for the span.
        Files whose names end in `.gz` are decompressed.
      format: `csv` and `tsv`, `jsonl`, `parquet`, `tfrecord` (of tf.Examples), or, of impressions and installs,
        `serving_log`: what `wdr export-log` wrote.
      text: With `csv` and `tsv`: delimiter, header, encoding.
      null_values: Texts that mean "no value", beside the empty text; in a number's column, numbers that do.
      list_separator: Between the values of a list, in the text formats.
    """

    path: RelativePath
    format: Format
    text: DelimitedText = Field(default_factory=DelimitedText)
    null_values: tuple[str, ...] = ("",)
    list_separator: Annotated[str, Field(min_length=1, max_length=1)] = DEFAULT_LIST_SEPARATOR

    @model_validator(mode="after")
    def _text_fits_format(self) -> Source:
        _check_text(self)
        return self


@dataclass(frozen=True, config=STRICT)
class Impressions:
    """The impression log: one row per impression.

    Attributes:
      path: As in any source; or
      splits: one path per split (`train` and `eval`) where the log is already split; no file may be in both.
      format: As in any source.
      text: As in any source.
      null_values: As in any source.
      list_separator: As in any source.
      label: The column with the label (0 or 1, or as `label_rule` says); left out where labels come from `installs`.
      label_rule: With `label`, where the column has something else than 0 or 1: which values have label 1.
      label_columns: With `label`, the columns in which rows agree that can share one label, such as user and app where
        one install is the label of each impression before it. Left out, each row's label is its own. With `installs`,
        its `keys` are these.
      weight: The column with the row's weight, from 0 to 1,000,000: how much it counts in training and evaluation.
      randomized: With a feature that has `at_serving`: the column that says, as 0 and 1 or true and false, which
        impressions were placed by chance: each of the list's items was as likely to be shown at any position.
      propensity: In place of `randomized`: the column with the chance, above 0 and at most 1, with which the item was
        placed where it was. A chance of 1 tells nothing.
      impression_id: The column with the impression's id; a second row with the same id is rejected.
      request_id: The column with the id of the request, the grouping of ranking metrics.
      item_id: The column with the item's id, by which `rank` finds an item's features in the tables; a categorical item
        feature. Left out, it is the column that a table of items is joined by or, without such a table, the only
        categorical item feature of the impressions.
      timestamp: The column with the time: seconds since 1970, or ISO 8601 (UTC where it names no zone).
      timestamp_format: With `timestamp`, where its texts are other ones: their form in the directives of Python's
        strptime, such as `%b %d, %Y` for `Feb 28, 2014` and `%d.%m.%Y %H:%M` for `28.02.2014 17:05`, with English
        names and in UTC where it has no `%z`.
    """

    format: Format
    path: RelativePath | None = None
    splits: dict[Literal["train", "eval"], RelativePath] | None = None
    text: DelimitedText = Field(default_factory=DelimitedText)
    null_values: tuple[str, ...] = ("",)
    list_separator: Annotated[str, Field(min_length=1, max_length=1)] = DEFAULT_LIST_SEPARATOR
    label: ColumnName | None = None
    label_rule: LabelRule | None = None
    label_columns: Annotated[tuple[ColumnName, ...], Field(max_length=4)] = ()
    weight: ColumnName | None = None
    randomized: ColumnName | None = None
    propensity: ColumnName | None = None
    impression_id: ColumnName | None = None
    request_id: ColumnName | None = None
    item_id: ColumnName | None = None
    timestamp: ColumnName | None = None
    timestamp_format: TimeTexts | None = None

    @model_validator(mode="after")
    def _one_of_path_and_splits(self) -> Impressions:
        if (self.path is None) == (self.splits is None):
            raise ValueError("impressions have exactly one of `path` and `splits`")
        if self.splits is not None and set(self.splits) != {"train", "eval"}:
            raise ValueError(f"`splits` names a path for `train` and one for `eval`. Received: {sorted(self.splits)}")
        if self.label_rule is not None and self.label is None:
            raise ValueError("`label_rule` goes with `label` only")
        if self.timestamp_format is not None and self.timestamp is None:
            raise ValueError("`timestamp_format` goes with `timestamp` only")
        if self.randomized is not None and self.propensity is not None:
            raise ValueError("impressions have at most one of `randomized` and `propensity`")
        self._check_label_values()
        _check_text(self)
        return self

    def _check_label_values(self) -> None:
        rule, nulls = self.label_rule or LabelRule(at_least=1), null_words(self.null_values, trim=True)
        if missing := [text for text in (*rule.positive, *rule.negative) if trimmed(text) in nulls]:
            raise ValueError(
                "`label_rule` must have no empty value and none of `null_values`: a row with one has no label. "
                f"Received: {missing}"
            )

    @property
    def says_placement(self) -> bool:
        """Whether the log says how far each impression was placed by chance."""
        return self.randomized is not None or self.propensity is not None

    @property
    def paths(self) -> dict[str, str]:
        """The path of each named split, or of the whole log under the empty name."""
        return {str(k): v for k, v in self.splits.items()} if self.splits else {"": self.path or ""}


@dataclass(frozen=True, config=STRICT)
class Installs(Source):
    """The installs from which labels are made: label 1 if an install follows the impression within the window.

    The labels of a span's last `attribution_seconds` are not known when it is ingested. The span ends with its logs, at
    the latest time of an impression or an install. A thousandth of a log's rows, at the end, is taken for wrong clocks,
    and so are rows that are later than the middle nine tenths of the log by more than their length. A warning counts
    the rows that are later than the end by more than `attribution_seconds`.

    Attributes:
      keys: The columns that name user and app, in this table and in the impressions.
      timestamp: The column with the install's time.
      timestamp_format: As in `impressions`.
      attribution_seconds: The length of the attribution window, in seconds.
      clock_skew_seconds: An install so long before its impression follows it too, as the clocks of two logs differ.
      leave_out_unknown_labels: Leave out of training and evaluation the impressions of the span's last
        `attribution_seconds`, whose labels are not known yet.
      late_labels: Keep these impressions as the span's tail; the next span's installs complete their labels, and they
        are trained on with that span. For install logs that have each install in the log of its own day only.
    """

    keys: Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=4)] = ("user_id", "app_id")
    timestamp: ColumnName = "timestamp"
    timestamp_format: TimeTexts | None = None
    attribution_seconds: PositiveFloat = 3600.0
    clock_skew_seconds: NonNegativeFloat = 5.0
    leave_out_unknown_labels: bool = True
    late_labels: bool = False

    @model_validator(mode="after")
    def _late_labels_are_left_out_first(self) -> Installs:
        if self.late_labels and not self.leave_out_unknown_labels:
            raise ValueError("`late_labels` completes what `leave_out_unknown_labels` leaves out: both must be true")
        return self


@dataclass(frozen=True, config=STRICT)
class Table(Source):
    """A table joined to the impressions by one key, such as the catalog or the users.

    Attributes:
      key: The table's key column.
      impression_key: The column of the impressions that holds the key; `key` if left out.
      item_key: Of a table with item features that is joined by another column than the item's id, such as a table of
        developers: the categorical item feature that holds the key, such as the app's developer in the catalog. By it
        `rank` finds the row; without it, a model that reads the table's item features has no `rank`.
      broadcast: Keep a snapshot of the table with the examples and in each pushed model, where `wdr score` looks its
        rows up; the tables of items are kept anyway.
      reject_unmatched: Reject an impression whose key is not in the table; else its features are missing.
    """

    key: ColumnName = "id"
    impression_key: ColumnName | None = None
    item_key: Name | None = None
    broadcast: bool = False
    reject_unmatched: bool = False

    @property
    def log_column(self) -> str:
        """The column of the impressions that is matched with `key`."""
        return self.impression_key or self.key


@dataclass(frozen=True, config=STRICT)
class Sources:
    """All inputs of a run.

    Attributes:
      impressions: The log.
      installs: Where labels are made of installs.
      tables: By name.
      label_version: A number that changes with what makes the label, such as `attribution_seconds`: the gate on data
        then no longer compares labels with those of earlier spans. A change without a new version stops the run.
    """

    impressions: Impressions
    installs: Installs | None = None
    tables: dict[Name, Table] = Field(default_factory=dict)
    label_version: PositiveInt = 1

    @model_validator(mode="after")
    def _label_comes_from_one_place(self) -> Sources:
        if (self.impressions.label is None) == (self.installs is None):
            raise ValueError("the label comes from exactly one of `impressions.label` and `installs`")
        if self.installs is not None and self.impressions.timestamp is None:
            raise ValueError("`installs` needs `impressions.timestamp`, to know which install follows an impression")
        if self.installs is not None and self.impressions.label_columns:
            raise ValueError("`impressions.label_columns` goes with `impressions.label`; `installs` has its `keys`")
        for name, table in self.tables.items():
            if name in ("impressions", "installs"):
                raise ValueError(f"a table must not be called {name!r}")
            if table.format == SERVING_LOG:
                raise ValueError(f"a table must not be of the format {SERVING_LOG}. Received: {name!r}")
        check_sources(self.impressions, self.installs)
        return self

    @property
    def are_served(self) -> bool:
        """Whether the impressions are a log of served rankings, whose features are read as they were scored."""
        return self.impressions.format == SERVING_LOG

    @property
    def joined_tables(self) -> dict[str, Table]:
        """The tables whose rows are joined to the impressions: none to a log of served rankings."""
        return {} if self.are_served else self.tables

    @property
    def has_late_labels(self) -> bool:
        """Whether a span's tail is kept, and completed by the next span's installs."""
        return self.installs is not None and self.installs.late_labels

    def of(self, name: str) -> Source | Impressions:
        """The settings of a source by its name."""
        if name == IMPRESSIONS:
            return self.impressions
        if name == "installs" and self.installs is not None:
            return self.installs
        return self.tables[name]
