"""Tests of the fair queue. Virtual times are computed by hand; a request's work is its elements plus 500."""

from __future__ import annotations

from serving.model_server.guard.fair_queue import FairQueue


def filled(*requests: tuple[str, int, int]) -> FairQueue[str]:
    """A queue of requests given as (caller, elements, number); those of `a` with 10 elements are named `a10`."""
    queue: FairQueue[str] = FairQueue(max_items=1000, max_elements=10_000_000)
    for caller, elements, number in requests:
        for _ in range(number):
            queue.push(caller, elements, elements, f"{caller}{elements}")
    return queue


def popped(queue: FairQueue[str], number: int) -> list[str | None]:
    return [queue.pop() for _ in range(number)]


def test_a_small_request_does_not_wait_behind_many_callers_with_large_ones() -> None:
    queue = filled(*((f"c{i}", 10_000, 1) for i in range(50)))
    assert queue.pop() == "c010000"  # the virtual time is then 10,500 / 50 = 210
    queue.push("small", 200, 200, "small")  # its end is 910, the others' 10,500
    assert popped(queue, 2) == ["small", "c110000"]


def test_nor_behind_large_ones_of_the_same_caller() -> None:
    queue = filled(("proxy", 10_000, 50))
    queue.push("proxy", 200, 200, "small")
    assert queue.pop() == "small"
    assert queue.pop() == "proxy10000"


def test_each_caller_gets_as_much_work_done() -> None:
    """A request has a work of 600 for `a`, and of 3,000 for `b`: five of `a` run for each of `b`."""
    queue = filled(("a", 100, 20), ("b", 2500, 4))
    assert popped(queue, 18) == (["a100"] * 5 + ["b2500"]) * 3


def test_requests_of_two_sizes_give_no_second_share() -> None:
    """While `b` has 12 requests of work 600 done, `a` has 6 of work 600 and 6 or 7 of work 550."""
    found = popped(filled(("a", 100, 50), ("a", 50, 50), ("b", 100, 50)), 25)
    assert [found.count(name) for name in ("a100", "a50", "b100")] == [6, 7, 12]


def test_a_large_request_is_not_put_off_for_ever() -> None:
    """With two callers, a small request's finish time is the virtual time plus 700, and it advances that by 700 / 2.

    After 28 of them, the next one's finish time is 28 x 350 + 700 = 10,500, the same as the large one's.
    """
    queue = filled(("large", 10_000, 1))
    order = []
    for _ in range(40):
        queue.push("small", 200, 200, "small")
        order.append(queue.pop())
    assert order.index("large10000") == 28


def test_what_is_put_back_comes_before_its_caller_s_others() -> None:
    queue = filled(("a", 100, 2))
    queue.push("a", 100, 100, "rest", first=True)
    assert popped(queue, 4) == ["rest", "a100", "a100", None]


def test_large_ones_may_be_left_out() -> None:
    queue = filled(("a", 1025, 1), ("b", 1024, 1))
    assert queue.pop(large=False) == "b1024"
    assert queue.pop(large=False) is None
    assert queue.pop() == "a1025"


def test_a_full_queue_drops_the_newest_of_the_largest_part() -> None:
    queue: FairQueue[str] = FairQueue(max_items=4, max_elements=100)
    assert not queue.is_full_for(1000)  # alone, it may be computed
    for name in ("one", "two"):
        queue.push("a", 20, 20, name)
    queue.push("b", 50, 50, "other")
    assert queue.is_full_for(11)
    assert not queue.is_full_for(10)
    assert queue.drop_for("c", 11) == ["two"]
    assert not queue.is_full_for(11)


def a_queue(max_items: int, max_elements: int, *requests: tuple[str, int]) -> FairQueue[str]:
    queue: FairQueue[str] = FairQueue(max_items, max_elements)
    for caller, elements in requests:
        queue.push(caller, elements, elements, f"{caller}{elements}")
    return queue


def test_who_has_the_most_is_refused_itself() -> None:
    """Three requests may wait, and `a` has two of them."""
    full = 3, 10_000, ("a", 20), ("a", 20), ("b", 20)
    assert a_queue(*full).drop_for("a", 20) is None
    assert a_queue(*full).drop_for("b", 20) is None  # it would have as much as `a`
    assert a_queue(*full).drop_for("c", 20) == ["a20"]


def test_a_caller_s_own_large_ones_give_way_to_its_small_ones() -> None:
    queue = a_queue(2, 10_000, ("a", 20), ("a", 5000))
    assert queue.drop_for("a", 20) == ["a5000"]
    assert (len(queue), queue.num_elements) == (1, 20)


def test_as_many_are_dropped_as_make_room() -> None:
    """400 elements are 200 too many; there is room once `a` loses two requests, which leaves it a work of 600."""
    queue = a_queue(10, 600, ("a", 100), ("a", 101), ("a", 99), ("b", 100))
    assert queue.drop_for("c", 400) == ["a99", "a101"]
    assert (len(queue), queue.num_elements) == (2, 200)


def test_nothing_is_dropped_for_what_is_refused_all_the_same() -> None:
    """For 450 elements, 251 must be dropped, and the new request's work would be 950.

    `a` has a work of 1,202, but less than 950 once 102 elements are dropped. Then `b` has the most, 699.
    """
    queue = a_queue(10, 600, ("a", 100), ("a", 102), ("b", 199))
    assert queue.drop_for("c", 450) is None
    assert (len(queue), queue.num_elements) == (3, 401)
    assert popped(queue, 4) == popped(a_queue(10, 600, ("a", 100), ("a", 102), ("b", 199)), 4)


def test_what_is_wanted_is_taken_out() -> None:
    queue = filled(("a", 100, 3), ("b", 100, 2))
    queue.push("a", 100, 100, "last")
    assert queue.take(lambda name: name == "a100", 2) == ["a100", "a100"]
    assert queue.take(lambda name: name != "b100") == ["a100", "last"]
    assert (len(queue), queue.num_elements) == (2, 200)
