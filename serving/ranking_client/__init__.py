"""Asks a model server to rank a request's candidates: the client, sync and asyncio, and an HTTP service in front of it.

    context, candidates ──► steps: which signature, which calls, one answer of the parts' ──► ranking
                              │ calls                     ▲ answers
                              ▼                           │
                            client or aio_client: sends them, by flight's rules for a second copy

`steps` knows no network and `flight` no clock, so both clients share them. The protocol is TF Serving's.
"""
