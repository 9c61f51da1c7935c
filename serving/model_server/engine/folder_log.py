"""Logs the problems of models' folders, each only once for as long as it lasts."""

from __future__ import annotations

from collections.abc import Iterable

from serving.model_server.logs import log


class FolderLog:
    """The problems that were logged and still hold. Use it only in the event loop's thread."""

    def __init__(self) -> None:
        #: Each model, empty for all models, and message.
        self._said: set[tuple[str, str]] = set()

    def say(self, model: str, message: str, **fields: object) -> None:
        """Logs a problem of a model's folder, or of all models' folders if `model` is empty, unless it was logged."""
        if (model, message) not in self._said:
            self._said.add((model, message))
            log("error", message, **({"model": model} if model else {}), **fields)

    def end(self, model: str, message: str) -> None:
        """Ends a problem: it is logged again if it comes back."""
        self._said.discard((model, message))

    def end_all_but(self, model: str, messages: Iterable[str] = ()) -> None:
        """Ends all problems of a model except the given ones."""
        kept = set(messages)
        self._said = {(name, message) for name, message in self._said if name != model or message in kept}
