"""Tests of bodies that have not arrived whole: the one that has stalled the longest makes room for the others."""

from __future__ import annotations

import asyncio
import time

import pytest

from serving.model_server.guard.unfinished_bodies import UnfinishedBodies


def test_the_longest_stalled_body_is_ended() -> None:
    async def stall() -> None:
        bodies = UnfinishedBodies(10)
        dropped: list[bool] = []

        async def add_too_much() -> None:
            async with asyncio.timeout(60) as limit:
                with bodies.one(limit) as stalled, bodies.one(asyncio.timeout(60)) as other:
                    stalled.add(6)
                    other.add(6)
                    dropped.extend([stalled.dropped, other.dropped])
                    await asyncio.sleep(60)

        with pytest.raises(TimeoutError):
            await add_too_much()
        assert dropped == [True, False]

    asyncio.run(stall())


def test_a_body_whose_own_time_has_just_passed_harms_no_other() -> None:
    async def expire() -> None:
        bodies = UnfinishedBodies(10)

        async def stall() -> None:
            async with asyncio.timeout(0.01) as limit:
                with bodies.one(limit) as stalled:
                    stalled.add(6)
                    begun.set()
                    await asyncio.sleep(60)

        def finish() -> None:
            with bodies.one(asyncio.timeout(60)) as other:
                other.add(6)  # after the stalled body's time has passed, and before it ends
            finished.set()

        begun, finished = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(stall())
        await begun.wait()
        asyncio.get_running_loop().call_later(0.011, finish)
        time.sleep(0.05)  # so that both times pass within one cycle of the event loop
        with pytest.raises(TimeoutError):
            await task
        assert finished.is_set()

    asyncio.run(expire())


def test_whole_bodies_count_until_they_are_released_and_are_not_ended() -> None:
    async def add_too_much() -> list[bool]:
        bodies = UnfinishedBodies(10)
        found = []

        async def one_more(size: int) -> None:
            async with asyncio.timeout(60) as limit:
                with bodies.one(limit) as body:
                    body.add(size)
                    found.append(body.dropped)
                    await asyncio.sleep(0)

        with bodies.one(asyncio.timeout(60)) as whole:
            whole.add(3)
            whole.finish()
            whole.add(5)  # the decoded body
            with pytest.raises(TimeoutError):
                await one_more(3)
            await one_more(2)
            assert (whole.dropped, bodies.exceeded) == (False, False)
            whole.add(3)
            assert bodies.exceeded
            whole.release()
            await one_more(10)
        await one_more(10)
        return found

    assert asyncio.run(add_too_much()) == [True, False, False, False]
