"""How a stage's elements are dealt to the workers of a job.

Beam's own runner deals a stage's elements before it begins, one each in turn: of three large files and three small ones
a worker gets two large ones, and the other waits for it. Here a worker takes the next part when it is done with one.
Beam has no public way to this, as of Beam 2.77.0.
"""

from __future__ import annotations

import collections
import copy
import itertools
from collections.abc import Mapping
from typing import Any

from apache_beam.metrics import monitoring_infos
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.utils.thread_pool_executor import shared_unbounded_instance

#: The parts of a stage's elements for each worker. The more, the shorter a worker waits for another at the end; a part
#: takes some milliseconds.
_PARTS_PER_WORKER = 8


class Dealer(fn_runner.BundleManager):  # type: ignore[misc]
    """Runs a stage without state or timers: each worker works on one part of the elements after the other."""

    def process_bundle(
        self,
        inputs: Mapping[str, Any],
        expected_outputs: Any,
        fired_timers: Any,
        expected_output_timers: Any,
        dry_run: bool = False,
    ) -> tuple[Any, list[Any]]:
        """Returns the response with the metrics of all parts, and how bundles were split."""
        workers = self.bundle_context_manager.worker_handlers
        divided = [elements.partition(len(workers) * _PARTS_PER_WORKER) for elements in inputs.values()]
        parts = [dict(zip(inputs, part, strict=True)) for part in zip(*divided, strict=True)]
        waiting = collections.deque([part for part in parts if any(map(any, part.values()))] or parts[:1])

        def work(worker: Any) -> list[tuple[Any, list[Any]]]:
            context = copy.copy(self.bundle_context_manager)
            context._worker_handlers = [worker]
            done = []
            try:
                while (part := _next(waiting)) is not None:
                    manager = fn_runner.BundleManager(
                        context, self._progress_frequency, cache_token_generator=self._cache_token_generator
                    )
                    done.append(
                        manager.process_bundle(part, expected_outputs, fired_timers, expected_output_timers, dry_run)
                    )
            except Exception:
                waiting.clear()
                raise
            return done

        with shared_unbounded_instance() as executor:
            found = list(itertools.chain.from_iterable(executor.map(work, workers)))
        return _merged([response for response, _ in found]), [split for _, splits in found for split in splits]


def _next(waiting: collections.deque[dict[str, list[bytes]]]) -> dict[str, list[bytes]] | None:
    """Takes the next part; None if there is none, as another worker may have taken the last one."""
    try:
        return waiting.popleft()
    except IndexError:
        return None


def _merged(responses: list[Any]) -> Any:
    """Returns a response with the metrics of several, none of which is an error."""
    infos = itertools.chain.from_iterable(response.process_bundle.monitoring_infos for response in responses)
    merged = beam_fn_api_pb2.ProcessBundleResponse(monitoring_infos=monitoring_infos.consolidate(infos))
    return beam_fn_api_pb2.InstructionResponse(process_bundle=merged)
