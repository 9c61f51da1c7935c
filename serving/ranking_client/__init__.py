"""Clients that ask a model server to rank a request's candidates: one synchronous, one for asyncio.

    context, candidates ──► steps: chooses the signature, makes the calls, merges the parts' answers ──► ranking
                              │ calls                     ▲ answers
                              ▼                           │
                            client or aio_client: sends the calls; call_attempts says when to send another copy

`steps` has no network code and `call_attempts` reads no clock, so both clients share them. They use TF Serving's API.
"""
