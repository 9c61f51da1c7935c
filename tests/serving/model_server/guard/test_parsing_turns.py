"""Tests of the order in which simultaneous messages are parsed."""

from __future__ import annotations

import asyncio
import itertools

from serving.model_server.guard.parsing_turns import ParsingTurns
from serving.model_server.guard.wire import LARGE_BYTES


def test_small_messages_are_parsed_between_large_ones() -> None:
    """Three large messages arrive first, and then one small message per cycle of the event loop."""
    order: list[str] = []

    async def parse(turns: ParsingTurns, name: str, num_bytes: int) -> None:
        async with turns.turn(num_bytes):
            order.append(name)

    async def receive() -> None:
        turns = ParsingTurns()
        tasks = [asyncio.create_task(parse(turns, f"large {n}", LARGE_BYTES + 1)) for n in range(3)]
        for n in range(8):
            tasks.append(asyncio.create_task(parse(turns, f"small {n}", LARGE_BYTES)))
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    asyncio.run(receive())
    large = [order.index(f"large {n}") for n in range(3)]
    assert len(order) == 11
    assert order[0] == "small 0"
    assert all(after - before > 1 for before, after in itertools.pairwise(large))


def test_who_goes_away_while_it_waits_holds_up_nobody() -> None:
    async def receive() -> str:
        turns = ParsingTurns()

        async def parse() -> str:
            async with turns.turn(LARGE_BYTES + 1):
                return "parsed"

        tasks = [asyncio.create_task(parse()) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[1].cancel()
        return await tasks[2]

    assert asyncio.run(receive()) == "parsed"
