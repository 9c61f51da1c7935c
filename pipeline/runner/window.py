"""The earlier spans that a run needs, which are ingested before the run's own span."""

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
    """Yields the spans of `earlier_spans` that have complete logs, in order; warns of each other one.

    Args:
      config: The deployment.
      data_root: The folder of logs.
      span: The run's span.
      marker_of: Returns the path of the file whose existence means that a span's logs are complete; None if logs are
        complete without one.
      passed_over: The errors for which a span is passed over: no logs, as before the store's first day or after their
        removal; `InputError` also passes over a span that lacks a table. The span before the window, of which only the
        tail is wanted, is passed over for either.

    Raises:
      InputError: If a span's files cannot be resolved, and the error is not one of `passed_over`.
    """
    for earlier in earlier_spans(config, span):
        in_window = earlier > span - config.ingestion.window_spans
        allowed = passed_over if in_window else InputError
        try:
            resolve_span(config, data_root, earlier)
        except allowed as error:
            logging.warning("the logs of span %d are not read: %s", earlier, error)
            continue
        if marker_of is not None and not storage.exists(marker := marker_of(earlier)):
            logging.warning("the logs of span %d are not read: they are not complete: there is no %s", earlier, marker)
            continue
        yield earlier
