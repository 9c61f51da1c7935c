"""The JSON bodies of `/v1/events`: what came of the candidates of answered requests."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from serving.rank_service.bodies import ItemId, Strict
from serving.serving_log.event_log import EventLog

#: The most events of one call.
MAX_EVENTS = 1_000

#: A position is at most so far down.
_MAX_POSITION = 1_000_000

#: The year 2100, in seconds since 1970.
_MAX_TIME = 4_102_444_800


class Event(Strict):
    """One event."""

    request: str = Field(min_length=1, max_length=64, description="The `request_id` of the answer to `/rank`.")
    item: ItemId
    type: Literal["shown", "install", "click", "uninstall"]
    time: float = Field(ge=0, lt=_MAX_TIME, strict=True, description="When it happened, in seconds since 1970.")
    position: Annotated[int, Field(ge=1, le=_MAX_POSITION, strict=True)] | None = Field(
        None, description="Of `shown`: where, from 1."
    )

    @model_validator(mode="after")
    def _shown_has_a_position(self) -> Event:
        if (self.type == "shown") != (self.position is not None):
            raise ValueError("an event of the type `shown` has a `position`, and no other has one")
        return self


class EventsRequest(Strict):
    """Events, in any order."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {
                            "request": "ID",
                            "item": "com.store.app2",
                            "type": "shown",
                            "time": 1796083200.5,
                            "position": 1,
                        },
                        {"request": "ID", "item": "com.store.app2", "type": "install", "time": 1796083260},
                    ]
                }
            ]
        },
    )

    events: list[Event] = Field(min_length=1, max_length=MAX_EVENTS, fail_fast=True)


class EventsResponse(BaseModel):
    """The number of events taken; whether they are of a logged request is found when the log is read."""

    events: int


class PostedEvents:
    """The answers to calls of `/v1/events`.

    Args:
      log: Where the events are written.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def post(self, body: EventsRequest) -> EventsResponse:
        """Takes events of answered requests: shown, install, click or uninstall."""
        self._log.write([(e.request, e.item, e.type, e.time, e.position) for e in body.events])
        return EventsResponse(events=len(body.events))
