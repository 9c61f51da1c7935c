"""The earlier spans of a run's window, which are ingested before the run's own span."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from absl import logging

from components import storage
from components.ingestion.spans import NoSpanError, earlier_spans, resolve_span
from transform.config.config import Config
from transform.errors import InputError


def spans_to_ingest(
    config: Config,
    data_root: str,
    span: int,
    marker_of: Callable[[int], str] | None = None,
    passed_over: type[InputError] = NoSpanError,
) -> Iterator[int]:
    """Yields the earlier spans of the window that have complete logs, in order; warns of each other one.

    Args:
      config: The deployment.
      data_root: The folder of logs.
      span: The run's span.
      marker_of: Returns the path of the file whose existence means that a span's logs are complete; None if logs are
        complete without one.
      passed_over: The errors for which a span is passed over: no logs, as before the store's first day or after their
        removal; `InputError` also passes over a span that lacks a table.

    Raises:
      InputError: If a span's files cannot be resolved, and the error is not one of `passed_over`.
    """
    for earlier in earlier_spans(config, span):
        try:
            resolve_span(config, data_root, earlier)
        except passed_over as error:
            logging.warning("span %d is not ingested: %s", earlier, error)
            continue
        if marker_of is not None and not storage.exists(marker := marker_of(earlier)):
            logging.warning("span %d is not ingested: its logs are not complete: there is no %s", earlier, marker)
            continue
        yield earlier
