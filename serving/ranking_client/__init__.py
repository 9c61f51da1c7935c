"""Clients that ask a model server to rank a request's candidates: one synchronous, one for asyncio.

    context, candidates ──► steps: chooses the signature, makes the calls, merges the parts' answers ──► ranking
                              │ calls                     ▲ answers
                              ▼                           │
                            client or aio_client: sends the calls; call_attempts says when to send another copy

`steps` has no network code and `call_attempts` reads no clock, so both clients share them. They use TF Serving's API.

With a `ServingLog`, a client logs each request that it has answered; with an `Exploration`, it moves items by chance.

These modules, with nothing else than grpcio and protobuf, are also a wheel of their own, `wide-deep-ranker-client`, in
the namespace `wide_deep_ranker_client`: see deploy/client.
"""

from serving.ranking_client.aio_client import AsyncRankingClient
from serving.ranking_client.client import RankingClient
from serving.ranking_client.errors import RankingError, RequestError
from serving.ranking_client.ranked import RankedItem, Ranking
from serving.ranking_client.settings import ClientSettings, make_settings, read_settings, write_settings
from serving.serving_log.exploration import Exploration
from serving.serving_log.log import ServingLog
from serving.serving_log.settings import LogSettings

__all__ = [
    "AsyncRankingClient",
    "ClientSettings",
    "Exploration",
    "LogSettings",
    "RankedItem",
    "Ranking",
    "RankingClient",
    "RankingError",
    "RequestError",
    "ServingLog",
    "make_settings",
    "read_settings",
    "write_settings",
]
