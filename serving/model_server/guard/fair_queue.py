"""A fair queue of waiting requests: fair by work, and small requests do not wait behind a backlog of large ones.

It uses weighted fair queueing (Demers, Keshav and Shenker, 1989, "Analysis and simulation of a fair queueing
algorithm"). Each request gets a finish time: when it would be done if all callers were served at once, each at the same
rate. The request with the earliest finish time is next. A caller is a connection. Behind a proxy, many users share one
connection, so a connection's requests are split by size into flows, which share its rate. When the queue is full, it
drops the newest request of the caller with the most waiting work. But if the new request's caller would then have as
much, the new request is refused instead.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

#: The largest size class (see `_size_class`) of requests that are not large.
_LARGE_CLASS = 5

#: A request with more work than this many candidates or rows is large.
LARGE_ELEMENTS = 4**_LARGE_CLASS

#: The fixed cost of computing a request, in elements: 200 candidates take 3 ms, and 10,000 about 40 ms.
RUN_WORK = 500

_Item = TypeVar("_Item")


@dataclasses.dataclass
class _Flow(Generic[_Item]):
    """The waiting requests of one caller and one size class, in order.

    Attributes:
      start: The virtual time from which the first request is served.
      work: The sum of the requests' elements, plus `RUN_WORK` for each request.
      items: For each request, its elements, how many of them are computed at its next turn, and the request.
    """

    start: float
    work: int = 0
    items: collections.deque[tuple[int, int, _Item]] = dataclasses.field(default_factory=collections.deque)


class FairQueue(Generic[_Item]):
    """Waiting requests, bounded in number and in work. It is not thread-safe."""

    def __init__(self, max_items: int, max_elements: int) -> None:
        """Makes an empty queue.

        Args:
          max_items: The most requests that may wait.
          max_elements: The most work of all waiting requests; a request that waits alone may have more. Work is counted
            in elements, each as much as a candidate or a row.
        """
        self._max_items = max_items
        self._max_elements = max_elements
        self._callers: dict[Hashable, dict[int, _Flow[_Item]]] = {}
        self._virtual_time = 0.0
        self._num_items = 0
        self._num_elements = 0

    def __len__(self) -> int:
        return self._num_items

    @property
    def num_elements(self) -> int:
        """The elements of all waiting requests."""
        return self._num_elements

    def is_full_for(self, elements: int) -> bool:
        """Whether there is no room for a request with this many elements."""
        return self._is_full(self._num_items, self._num_elements + elements)

    def _is_full(self, num_items: int, num_elements: int) -> bool:
        """Whether one more request has no room beside `num_items`; `num_elements` counts all of them."""
        return num_items > 0 and (num_items >= self._max_items or num_elements > self._max_elements)

    def push(self, caller: Hashable, elements: int, turn: int, item: _Item, *, first: bool = False) -> None:
        """Adds a request.

        Args:
          caller: The request's caller.
          elements: Its work.
          turn: How many of its elements are computed at its next turn; the caller of `pop` pushes the rest again.
          item: The request.
          first: Whether to put it before the other requests of its caller and size class.
        """
        flow = self._callers.setdefault(caller, {}).setdefault(_size_class(elements), _Flow(self._virtual_time))
        (flow.items.appendleft if first else flow.items.append)((elements, turn, item))
        flow.work += elements + RUN_WORK
        self._num_items += 1
        self._num_elements += elements

    def pop(self, *, large: bool = True) -> _Item | None:
        """Removes and returns the next request; None if there is none. `large` says whether it may be a large one."""
        best: tuple[float, int, Hashable, int] | None = None
        for caller, flows in self._callers.items():
            for size, flow in flows.items():
                if large or size <= _LARGE_CLASS:
                    work = flow.items[0][1] + RUN_WORK
                    end = flow.start + work * len(flows)
                    if best is None or end < best[0]:
                        best = end, work, caller, size
        if best is None:
            return None
        end, work, caller, size = best
        self._virtual_time += work / len(self._callers)
        flow = self._callers[caller][size]
        flow.start = max(end, self._virtual_time)
        return self._remove(caller, size, 0)

    def take(self, requested: Callable[[_Item], bool], limit: int | None = None) -> list[_Item]:
        """Removes and returns all requests that are `requested`, at most `limit`, in the order of each flow."""
        found: list[_Item] = []
        for caller, flows in list(self._callers.items()):
            for size, flow in list(flows.items()):
                places = [at for at, (_, _, item) in enumerate(flow.items) if requested(item)]
                for num_before, at in enumerate(places):
                    if len(found) == limit:
                        return found
                    found.append(self._remove(caller, size, at - num_before))
        return found

    def drop_for(self, caller: Hashable, elements: int) -> list[_Item] | None:
        """Removes the newest requests of the caller with the most waiting work, until there is room for a new request.

        Returns:
          The removed requests. None, with nothing removed, if before there is room the new request's caller would have
          as much work as the caller with the most; or, if it is that caller itself, its flow as much as its heaviest.
        """
        works = {each: {size: flow.work for size, flow in flows.items()} for each, flows in self._callers.items()}
        newest = {(each, size): reversed(flow.items) for each in works for size, flow in self._callers[each].items()}
        places: list[tuple[Hashable, int]] = []
        num_items, num_elements = self._num_items, self._num_elements
        while self._is_full(num_items, num_elements + elements):
            place = _heaviest(works, caller, elements)
            if place is None:
                return None
            dropped, _, _ = next(newest[place])
            works[place[0]][place[1]] -= dropped + RUN_WORK
            num_items, num_elements = num_items - 1, num_elements - dropped
            places.append(place)
        return [self._remove(each, size, -1) for each, size in places]

    def _remove(self, caller: Hashable, size: int, at: int) -> _Item:
        flows = self._callers[caller]
        flow = flows[size]
        elements, _, item = flow.items[at]
        del flow.items[at]
        flow.work -= elements + RUN_WORK
        self._num_items -= 1
        self._num_elements -= elements
        if not flow.items:
            del flows[size]
            if not flows:
                del self._callers[caller]
        return item


def _heaviest(works: dict[Hashable, dict[int, int]], caller: Hashable, elements: int) -> tuple[Hashable, int] | None:
    """The caller with the most work, and its heaviest flow; None if the new request would make its own as heavy."""
    totals = {each: sum(sizes.values()) for each, sizes in works.items()}
    heaviest = max(totals, key=lambda each: totals[each])
    sizes = works[heaviest]
    size = max(sizes, key=lambda each: sizes[each])
    if heaviest != caller:
        weight, own = totals[heaviest], totals.get(caller, 0)
    else:
        weight, own = sizes[size], sizes.get(_size_class(elements), 0)
    return None if weight <= own + elements + RUN_WORK else (heaviest, size)


def _size_class(elements: int) -> int:
    """The smallest n with elements <= 4**n."""
    return (max(0, elements - 1).bit_length() + 1) // 2
