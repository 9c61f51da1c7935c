"""Asks both ranking clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from serving.ranking_client.aio_client import AsyncRankingClient
from serving.ranking_client.client import RankingClient
from serving.ranking_client.ranked import Ranking
from serving.ranking_client.settings import ClientSettings

#: Makes a client with some settings, calls its `rank` with each request's arguments, and calls any functions between
#: the requests; returns the rankings.
Ask = Callable[..., list[Ranking]]


Request = Sequence[Any] | Callable[[], None]


def ask_sync(settings: ClientSettings, *requests: Request, **options: Any) -> list[Ranking]:
    rankings = []
    with RankingClient(settings) as client:
        for request in requests:
            if callable(request):
                request()
            else:
                rankings.append(client.rank(*request, **options))
    return rankings


def ask_async(settings: ClientSettings, *requests: Request, **options: Any) -> list[Ranking]:
    async def ask() -> list[Ranking]:
        rankings = []
        async with AsyncRankingClient(settings) as client:
            for request in requests:
                if callable(request):
                    request()
                else:
                    rankings.append(await client.rank(*request, **options))
        return rankings

    return asyncio.run(ask())
