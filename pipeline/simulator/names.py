"""Categories, countries, languages, devices, pages and weekdays in the simulated store's logs."""

from __future__ import annotations

CATEGORIES = [
    "art", "beauty", "books", "business", "comics", "communication", "dating", "education", "entertainment", "events",
    "finance", "food", "games_action", "games_board", "games_puzzle", "games_racing", "games_sports", "health",
    "house", "lifestyle", "maps", "medical", "music", "news", "parenting", "photography", "shopping", "social",
    "tools", "travel",
]  # fmt: skip

# Country: the language most of its users speak, and its unnormalized share of the users.
COUNTRIES = {
    "us": ("en", 20.0), "in": ("hi", 16.0), "br": ("pt", 10.0), "id": ("id", 8.0), "mx": ("es", 7.0),
    "jp": ("ja", 6.0), "de": ("de", 6.0), "fr": ("fr", 5.0), "gb": ("en", 5.0), "kr": ("ko", 4.0), "tr": ("tr", 4.0),
    "it": ("it", 4.0), "es": ("es", 4.0), "ca": ("en", 3.0), "ar": ("es", 3.0), "au": ("en", 2.0), "co": ("es", 2.0),
    "pt": ("pt", 1.0), "at": ("de", 1.0), "ch": ("de", 1.0),
}  # fmt: skip
COUNTRY_NAMES = list(COUNTRIES)
LANGUAGES = sorted({language for language, _ in COUNTRIES.values()})

# Device: its users' reluctance to pay for an app (a factor of the price's part of the logit).
DEVICES = {
    "budget_phone": 1.8,
    "mid_phone": 1.2,
    "flagship_phone": 0.4,
    "foldable": 0.2,
    "small_tablet": 1.0,
    "large_tablet": 0.6,
    "television": 1.4,
    "laptop": 0.8,
}
DEVICE_NAMES = list(DEVICES)

PAGES = ["home", "search", "category", "similar"]
WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
