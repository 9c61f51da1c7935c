"""Whose turn it is among those that wait: fair by work, and small requests do not wait behind a backlog of large ones.

Weighted fair queueing (Demers, Keshav and Shenker, 1989, "Analysis and simulation of a fair queueing algorithm"): each
request is given the time at which it would be done if all callers were served at once, each at the same rate, and the
earliest is next. A caller is a connection. Behind a proxy many users are one connection, so that each connection's
requests are queues by size, which share its rate. A full queue drops the newest request of the caller with the most
waiting work, unless the caller of the new request would then have as much; then the new request is refused.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

#: The largest size class, as in `_size_class`, of a request that is not large.
_LARGE_CLASS = 5

#: A request with more candidates or rows than this is large.
LARGE_ELEMENTS = 4**_LARGE_CLASS

#: What computing a request takes beside its elements, as many of them: 200 candidates take 3 ms, 10,000 some 40 ms.
RUN_WORK = 500

_Item = TypeVar("_Item")


@dataclasses.dataclass
class _Flow(Generic[_Item]):
    """What waits of one caller and size, the first in front.

    Attributes:
      start: The virtual time from which on the first one is served.
      work: The sum of the items' elements, plus `RUN_WORK` for each item.
      items: Each with its elements, and how many of them are computed at its next turn.
    """

    start: float
    work: int = 0
    items: collections.deque[tuple[int, int, _Item]] = dataclasses.field(default_factory=collections.deque)


class FairQueue(Generic[_Item]):
    """Requests that wait, bounded in number and in work. It has no lock of its own."""

    def __init__(self, max_items: int, max_elements: int) -> None:
        """Nothing waits yet.

        Args:
          max_items: How many requests may wait.
          max_elements: How many candidates or rows all of them may have, at most; a request alone may have more.
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
        """Of all that wait."""
        return self._num_elements

    def is_full_for(self, elements: int) -> bool:
        """Whether a request of so many elements is one too many."""
        return self._is_full(self._num_items, self._num_elements + elements)

    def _is_full(self, num_items: int, num_elements: int) -> bool:
        """Whether one more is too many beside so many, with which all have so many elements."""
        return num_items > 0 and (num_items >= self._max_items or num_elements > self._max_elements)

    def push(self, caller: Hashable, elements: int, turn: int, item: _Item, *, first: bool = False) -> None:
        """Adds a request.

        Args:
          caller: Whose it is.
          elements: How many candidates or rows it has.
          turn: How many of them are computed at its turn; it is put back if there are more.
          item: The request.
          first: Whether to put it in front of its caller's others of its size.
        """
        flow = self._callers.setdefault(caller, {}).setdefault(_size_class(elements), _Flow(self._virtual_time))
        (flow.items.appendleft if first else flow.items.append)((elements, turn, item))
        flow.work += elements + RUN_WORK
        self._num_items += 1
        self._num_elements += elements

    def pop(self, *, large: bool = True) -> _Item | None:
        """Takes the request whose turn it is, none if there is none; `large` is whether it may be a large one."""
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

    def take(self, wanted: Callable[[_Item], bool], limit: int | None = None) -> list[_Item]:
        """Takes all requests of a kind, at most so many, in each flow the first ones first."""
        found: list[_Item] = []
        for caller, flows in list(self._callers.items()):
            for size, flow in list(flows.items()):
                places = [at for at, (_, _, item) in enumerate(flow.items) if wanted(item)]
                for num_before, at in enumerate(places):
                    if len(found) == limit:
                        return found
                    found.append(self._remove(caller, size, at - num_before))
        return found

    def drop_for(self, caller: Hashable, elements: int) -> list[_Item] | None:
        """Takes the newest requests of who has the most work in the queue, until there is room for a new one.

        Args:
          caller: Whose the new one is.
          elements: Of it.

        Returns:
          The requests; none, and none is taken, if before there is room the new one's own caller, or its own size of
          it, would have as much work with the new one as who has the most.
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
    """The caller with the most work, and its size with the most; none if that is no more than with a new request."""
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
