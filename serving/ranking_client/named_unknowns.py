"""Values of a context's features that a model's vocabularies lack: each is named once, not by each ranking."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from serving.ranking_client.features import Features

#: So many unknown values of a feature are named. A feature with more is most likely no closed set of values.
MAX_NAMED = 10


class NamedUnknowns:
    """The unknown values that were named, by feature; for one client, also of several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._named: dict[str, set[str]] = {}

    def warnings(self, context: Features, names: Iterable[str], version: int) -> list[str]:
        """Returns a sentence for each unknown value of a context that was not named before.

        Args:
          context: The context.
          names: The features whose value is unknown to the model.
          version: The model's version.
        """
        found = []
        for name in names:
            value, named = context.get(name), self._named.setdefault(name, set())
            given = repr(value[0] if isinstance(value, list | tuple) and value else value)[:100]
            with self._lock:
                if given in named or len(named) == MAX_NAMED:
                    continue
                named.add(given)
                is_last = len(named) == MAX_NAMED
            sentence = (
                f"the value {given} of context feature {name!r} is not in the vocabulary of version {version}; "
                "the model takes it for an unknown one"
            )
            found.append(sentence + (". Further ones of this feature are not named" if is_last else ""))
        return found
