"""The earlier spans that a run needs, which are ingested before the run's own span."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from absl import logging

from components import storage
from components.ingestion.spans import NoSpanError, earlier_spans, list_paths, resolve_span
from components.lineage import kept_examples, producer
from pipeline.metadata.handle import Metadata
from pipeline.registry.record import files_of
from transform.config.config import Config
from transform.errors import InputError


def spans_to_ingest(
    config: Config,
    data_root: str,
    span: int,
    marker_of: Callable[[int], str] | None = None,
    passed_over: type[InputError] = NoSpanError,
    ingested_files: Callable[[int], frozenset[str]] = lambda _: frozenset(),
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
      ingested_files: Returns the paths of the files that the last ingestion of a span read. If some of them are gone,
        and no other has been added, the span is not ingested again: a store removes its old logs file by file.

    Raises:
      InputError: If a span's files cannot be resolved, and the error is not one of `passed_over`.
    """
    for earlier in earlier_spans(config, span):
        in_window = earlier > span - config.ingestion.window_spans
        allowed = passed_over if in_window else InputError
        try:
            paths = list_paths(resolve_span(config, data_root, earlier).files)
        except allowed as error:
            logging.warning("the logs of span %d are not read: %s", earlier, error)
            continue
        if marker_of is not None and not storage.exists(marker := marker_of(earlier)):
            logging.warning("the logs of span %d are not read: they are not complete: there is no %s", earlier, marker)
            continue
        before = ingested_files(earlier)
        # The others are of a source that the config no longer has.
        gone = sorted(path for path in before - paths if not storage.exists(path))
        if gone and paths <= before:
            why = "the logs of span %d are not read again: %d of the %d files that were ingested are gone, such as %s"
            logging.warning(why, earlier, len(gone), len(before), gone[0])
            continue
        yield earlier


def ingested_files(connection: Any, pipeline_name: str, span: int) -> frozenset[str]:
    """Returns the paths of the files that a pipeline's last ingestion of a span read; none if there is no such one."""
    with Metadata(connection) as handle:
        store = handle.store
        own = [a.id for a in kept_examples(store, pipeline_name) if a.custom_properties["span"].int_value == span]
        made_by = producer(store, max(own)) if own else None
        executions = [] if made_by is None else store.get_executions_by_id([made_by])
    return frozenset(path for execution in executions for paths in files_of(execution).values() for path in paths)
