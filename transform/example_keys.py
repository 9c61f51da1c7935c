"""The keys of the tf.Examples that are not features, and the values of those that say where a row is from."""

from __future__ import annotations

#: Keys of a raw tf.Example that are not features.
LABEL = "label"
WEIGHT = "weight"
REQUEST_ID = "request_id"
IMPRESSION_ID = "impression_id"
TIMESTAMP = "timestamp"
TABLE_KEY = "table_key"
SPAN = "span"

#: How far an impression was placed by chance: 1 or 0 by a column that says so, or the chance of its place.
PLACEMENT = "placed_by_chance"
FOLD = "fold"
SHARES_LABEL = "shares_label"

#: The number of spans, 0 if the key is missing, after the end of its own span by whose end an example's label was known
#: (`components.late_labels`).
LATE_LABEL = "late_label"

#: Of an example from a log of served rankings: the score that ranked it, and the version of the model that gave it.
SERVED_SCORE, SERVED_VERSION = "served_score", "served_version"

#: The keys that a logged example has but a request does not, and that the model does not read.
KNOWN_AFTERWARDS = (LABEL, WEIGHT, PLACEMENT, SPAN, FOLD, SHARES_LABEL, LATE_LABEL, SERVED_SCORE, SERVED_VERSION)
RESERVED_NAMES = frozenset({*KNOWN_AFTERWARDS, REQUEST_ID, IMPRESSION_ID, TIMESTAMP, TABLE_KEY})

#: The number of folds; rows that can share an install are in the same fold.
NUM_FOLDS = 8

#: The value for "no span" or "no fold".
NO_SPAN = NO_FOLD = -1
