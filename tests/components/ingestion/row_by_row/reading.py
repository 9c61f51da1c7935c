"""Reading as release 0.2.0 did it, one row at a time: the oracle of reading in batches of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam import pvalue

from components.ingestion.columns.parser import Parser
from components.ingestion.counts import LineCounts
from components.ingestion.formats.lines import LineTally
from components.ingestion.formats.raw_rows import Rejection, RowError, kept_text
from components.ingestion.formats.readers import TEXT_FORMATS, read_contents
from tests.components.ingestion.row_by_row.evidence import FileSketch
from tests.components.ingestion.row_by_row.joins import COUNTED, EVIDENCE, REJECTED
from tests.components.ingestion.row_by_row.readers import read_rows
from transform.config import sources
from transform.config.config import Config
from transform.errors import InputError


class ReadRows(beam.DoFn):  # type: ignore[misc]
    """Reads the files of one source: maps (split, path) to (split, path, row number as in `RawRow`, values)."""

    def __init__(self, config: Config, name: str, source: sources.Source | sources.Impressions):
        self._config = config
        self._name = name
        self._source = source

    def setup(self) -> None:
        source, limits = self._source, self._config.ingestion
        columns = self._config.columns[self._name]
        self._columns = list(dict.fromkeys(name for c in columns for name in c.names))
        self._parser = Parser(columns, source.null_values, source.list_separator, limits)

    def process(self, element: tuple[str, str]) -> Iterator[Any]:
        split, path = element
        number = num_lines = num_multi_line = 0
        tally = LineTally()
        sketch = FileSketch(self._config, self._name)
        try:
            source, limits = self._source, self._config.ingestion
            for raw in read_rows(path, source.format, self._columns, limits, tally, source.text):
                number += 1
                num_lines += raw.num_lines
                num_multi_line += raw.num_lines > 1
                reason, detail = raw.reason, raw.detail
                if raw.values is not None:
                    try:
                        values = self._parser.parse_row(raw.values)
                        sketch.add(values)
                        yield split, path, raw.number, values
                        continue
                    except RowError as error:
                        reason, detail = error.reason, error.detail
                text = raw.text if raw.values is None else repr(dict(raw.values))
                rejection = Rejection(self._name, path, raw.number, reason, kept_text(detail), kept_text(text))
                yield pvalue.TaggedOutput(REJECTED, rejection)
            contents = read_contents(path, self._source.format, self._source.text)
            yield pvalue.TaggedOutput(EVIDENCE, sketch.summary(path, contents.sha256))
            if self._source.format in TEXT_FORMATS:
                lines = LineCounts(contents.num_lines, tally.header, tally.blank, num_lines, num_multi_line)
                lines.check(path)
                for key, count in lines.pairs(self._name):
                    yield pvalue.TaggedOutput(COUNTED, (key, count))
        except InputError as error:
            # The row gate reports it after ingestion; an exception raised inside Beam would lose its message.
            yield pvalue.TaggedOutput(COUNTED, (("unusable", str(error)), 1))
        yield pvalue.TaggedOutput(COUNTED, (("read", self._name), number))
