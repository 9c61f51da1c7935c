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
ITEM_WORDS = _ITEMS | _PARTS_OF_ITEMS | {
    "ad", "advert", "adgroup", "creative", "campaign", "listing", "offer", "merchant", "business", "restaurant",
    "hotel", "property", "prop", "recipe", "podcast",
}  # fmt: skip

#: Words by which a column belongs to a user, in the same way.
_USERS = frozenset(["user", "customer", "member", "visitor", "viewer", "reader", "reviewer"])
USER_WORDS = _USERS | {"client", "account", "device"}

#: A session may have several requests, so that a context, such as the page, may differ within it.
SESSION_WORDS = frozenset(["session"])
REQUEST_WORDS = frozenset(["request", "query", "search", "srch", "display"]) | SESSION_WORDS
ROW_WORDS = frozenset(["impression", "row", "event", "record", "log"])
TIME_WORDS = frozenset(["time", "timestamp", "ts", "date", "datetime"])

#: Words of what is numbered as it happens, such as an invoice: neither a user nor an item.
NUMBERED_WORDS = frozenset(["invoice", "order", "transaction", "receipt", "basket", "ticket"])

#: Words of a whole number that is as often an id as a quantity.
ID_WORDS = REQUEST_WORDS | {"no", "nr", "number", "code", "key", "zip", "phone", "imei", "shop", "store", "seller"}

#: Words of a whole number that says at which place an item was shown: one of these, or `order` and one of the others.
_RANKS = frozenset(["position", "pos", "rank", "slot"])
_OF_ORDERS = frozenset(["display", "list", "sort", "shown", "result"])

#: Words of what counts up and begins again without being a place, in a table with a row for each hour or day.
CLOCK_WORDS = frozenset(["hour", "hours", "hr", "minute", "day", "weekday", "week", "month", "mnth", "quarter"])

#: Words of what is known only after the impression: its outcome's strength, and what is computed from outcomes.
_AFTERWARDS = frozenset([
    "vote", "votes", "helpful", "helpfulness", "useful", "propensity", "propensities", "played", "playtime", "dwell",
    "watched",
])  # fmt: skip

#: A word of `_ATTENTION` with one of `_MEASURES`, such as `watch_time`, is known only afterwards, unless one of
#: `_EARLIER` says that it is of earlier impressions.
_ATTENTION = frozenset(["watch", "view", "viewing", "listen", "listening", "playback", "completion", "spent"])
_MEASURES = frozenset(["time", "ms", "sec", "secs", "seconds", "minutes", "duration", "ratio", "percent"])
_EARLIER = frozenset(["avg", "average", "mean", "total", "last", "past", "prev", "previous", "history"])

#: Words of what is measured when something is over, such as a call, unless it is the item's own, as a film's.
MEASURED_WORDS = frozenset(["duration"])

#: Words of what may follow an impression. Each is a label, or is known only afterwards too.
EVENT_WORDS = frozenset([
    "click", "clicked", "clk", "install", "installed", "acquired", "converted", "conversion", "purchase", "purchased",
    "bought", "liked", "visit", "visited", "booking", "booked", "ordered", "reordered",
])  # fmt: skip

#: Words that leave the name of an event or a label what it is: `is_installed`, `click_bool`.
AUXILIARIES = frozenset(["is", "was", "has", "did", "bool", "flag"])

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

    It is one if it has a user's or an item's word beside the word `id`, such as `anime_id`, but neither `category_id`
    nor `visitor_country_id`, or if it is a single word that names such an id alone, such as `user`, `game` or `asin`.
    """
    parts = split_words(name)
    words, users, items = {*parts}, _USERS, _ITEMS
    if "id" in words:
        at = parts.index("id")
        words, users, items = {parts[at - 1] if at else parts[-1]}, USER_WORDS, ITEM_WORDS
    elif len(words) > 1:
        return None
    if words & users:
        return "user"
    return "item" if words & items and not {*parts} & _PARTS_OF_ITEMS else None


def is_request_only(name: str) -> bool:
    """Returns whether a name has words of requests alone, such as `srch_id`, and not `srch_destination_id`."""
    words = {*split_words(name)} - {"id"}
    return bool(words) and words <= REQUEST_WORDS


def is_rank(name: str) -> bool:
    """Returns whether a column is by its name the place at which an item was shown, such as `display_order`."""
    words = {*split_words(name)}
    return "id" not in words and bool(words & _RANKS or ("order" in words and words & _OF_ORDERS))


def afterwards_words(name: str) -> list[str]:
    """Returns the words of a column's name by which it is known only after the impression, such as `watch`, `ratio`."""
    words = {*split_words(name)}
    if words & _AFTERWARDS:
        return sorted(words & _AFTERWARDS)[:1]
    pair = [sorted(words & of)[:1] for of in (_ATTENTION, _MEASURES)]
    return pair[0] + pair[1] if all(pair) and not words & _EARLIER else []


def feature_name(column: str, taken: set[str]) -> str:
    """Returns a name for a column's feature that no other feature has, and adds it to those taken."""
    base = "_".join(parted(column))[:60].strip("_")
    base = base if base[:1].isalpha() else f"column_{base}".strip("_")
    name, number = base, 1
    while {name, f"{name}_bucket"} & taken or (name.endswith("_bucket") and name.removesuffix("_bucket") in taken):
        number += 1
        name = f"{base}_{number}"
    taken.add(name)
    return name
