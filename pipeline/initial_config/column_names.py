"""What the words of a column's name say of it: whose value it is, and whether it can be known when ranking."""

from __future__ import annotations

import re
from typing import Literal

#: The user and the item of a row.
Entity = Literal["user", "item"]

#: Words by which a column belongs to an item. Those of the first set can name its id alone, without a word `id`.
_ITEMS = frozenset([
    "item", "app", "movie", "film", "product", "sku", "article", "song", "track", "book", "video", "anime", "game",
    "asin", "isbn",
])  # fmt: skip
_PARTS_OF_ITEMS = frozenset(["brand", "genre", "genres", "category", "title", "price"])
ITEM_WORDS = _ITEMS | _PARTS_OF_ITEMS | {"ad", "advert", "creative", "campaign", "listing", "offer", "merchant"}

#: Words by which a column belongs to a user, in the same way.
_USERS = frozenset(["user", "customer", "member", "visitor", "viewer", "reader", "reviewer"])
USER_WORDS = _USERS | {"client", "account", "device"}

#: A session may have several requests, so that a context, such as the page, may differ within it.
SESSION_WORDS = frozenset(["session"])
REQUEST_WORDS = frozenset(["request", "query", "search"]) | SESSION_WORDS
ROW_WORDS = frozenset(["impression", "row", "event", "record", "log"])
TIME_WORDS = frozenset(["time", "timestamp", "ts", "date", "datetime"])

#: Words of a whole number that says at which place an item was shown.
RANK_WORDS = frozenset(["position", "pos", "rank", "slot"])

#: Words of what is known only after the impression: its outcome's strength, and what is computed from outcomes.
AFTERWARDS_WORDS = frozenset(["vote", "votes", "helpful", "propensity", "propensities", "played", "playtime"])

#: Words of what is measured when something is over, such as a call, unless it is the item's own, as a film's.
MEASURED_WORDS = frozenset(["duration", "dwell", "watched"])

#: Words of what may follow an impression. Each is a label, or is known only afterwards too.
EVENT_WORDS = frozenset([
    "click", "clicked", "install", "installed", "acquired", "converted", "conversion", "purchase", "purchased",
    "bought", "liked",
])  # fmt: skip

#: An id's name in one word, such as `userid`.
_ID_IN_ONE_WORD = re.compile(
    rf"({'|'.join(sorted(ITEM_WORDS | USER_WORDS | REQUEST_WORDS | ROW_WORDS))})(ids?)", re.ASCII
)


def split_words(name: str) -> tuple[str, ...]:
    """Returns the words of a column's name in small letters: `userId`, `user_id` and `userid` have user and id."""
    found: list[str] = []
    for word in parted(name):
        match = _ID_IN_ONE_WORD.fullmatch("userid" if word == "uid" else word)
        found += match.groups() if match else [word]
    return tuple(found)


def parted(name: str) -> list[str]:
    """Returns the parts of a name in small letters, between capital letters and other characters: `userId` has two."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]


def entity_of(name: str) -> Entity | None:
    """Returns whose id a column is by its name; None if it is nobody's.

    It is one if it has the word `id` and a user's or an item's, such as `anime_id` but not `category_id`, or if it is a
    single word that names such an id alone, such as `user`, `game` or `asin`.
    """
    words = {*split_words(name)}
    if "id" not in words and len(words) > 1:
        return None
    users, items = (USER_WORDS, ITEM_WORDS) if "id" in words else (_USERS, _ITEMS)
    if words & users:
        return "user"
    return "item" if words & items and not words & _PARTS_OF_ITEMS else None
