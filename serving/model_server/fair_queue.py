"""Whose turn it is among those that wait: fair by work, and small requests do not wait behind a backlog of large ones.

Weighted fair queueing (Demers, Keshav and Shenker, 1989, "Analysis and simulation of a fair queueing algorithm"): each
request is given the time at which it would be done if all callers were served at once, each at the same rate, and the
earliest is next. A caller is a connection. Behind a proxy many users are one connection, so that each connection's
requests are queues by size, which share its rate. A full queue drops the newest request of the longest one, if that is
longer than what has just come would make its own, so that who fills the queue is refused first.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

#: A request of more candidates or rows is large: 4 to the power of `_LARGE_CLASS`.
LARGE_ELEMENTS = 1024
_LARGE_CLASS = 5

#: What computing a request takes beside its elements, as many of them: 200 candidates take 3 ms, 10,000 some 40 ms.
RUN_WORK = 500

_Item = TypeVar("_Item")


@dataclasses.dataclass
class _Flow(Generic[_Item]):
    """What waits of one caller and size, the first in front.

    Attributes:
      start: The virtual time from which on the first one is served.
      work: Of all.
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
        return self._num_items > 0 and (
            self._num_items >= self._max_items or self._num_elements + elements > self._max_elements
        )

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

    def drop_for(self, caller: Hashable, elements: int) -> _Item | None:
        """Takes the newest request of who has the most work in the queue, to make room for a new one.

        Args:
          caller: Whose the new one is.
          elements: Of it.

        Returns:
          The request; none if with the new one its own caller, or its own size of it, would have as much or more.
        """
        flows = self._callers.get(caller, {})
        heaviest = max(self._callers, key=lambda each: _work(self._callers[each]))
        own_size = _size_class(elements)
        if heaviest != caller:
            weight, own = _work(self._callers[heaviest]), _work(flows)
        else:
            weight = max(flow.work for flow in flows.values())
            own = flows[own_size].work if own_size in flows else 0
        if weight <= own + elements + RUN_WORK:
            return None
        size = max(self._callers[heaviest], key=lambda each: self._callers[heaviest][each].work)
        return self._remove(heaviest, size, len(self._callers[heaviest][size].items) - 1)

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


def _work(flows: dict[int, _Flow[_Item]]) -> int:
    return sum(flow.work for flow in flows.values())


def _size_class(elements: int) -> int:
    """The power of four that it is at most."""
    return (max(0, elements - 1).bit_length() + 1) // 2
