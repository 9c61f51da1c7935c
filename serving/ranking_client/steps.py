"""The steps of a ranking, without network code: generators yield calls, are sent the answers, and return the result."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Generator, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

import grpc
from google.protobuf.message import Message

from serving.ranking_client.call_attempts import CallAttempts
from serving.ranking_client.errors import RankingError, RequestError
from serving.ranking_client.explanations import (
    check_explained,
    explain_request,
    explained_candidates,
    explanations_of_items,
    read_explanations,
)
from serving.ranking_client.features import (
    MAX_ID_BYTES,
    Candidate,
    Candidates,
    Features,
    as_bytes,
    encode_candidates,
    encode_example,
)
from serving.ranking_client.logged import log_ranking
from serving.ranking_client.messages import (
    metadata_request,
    predict_request,
    read_catalog_digest,
    read_ranking,
    read_unknown_context,
)
from serving.ranking_client.named_unknowns import NamedUnknowns
from serving.ranking_client.protos import PredictRequest
from serving.ranking_client.ranked import Explanation, Ranking
from serving.ranking_client.settings import ClientSettings
from serving.ranking_client.signatures import ModelSignatures
from serving.serving_log.exploration import Exploration
from serving.serving_log.log import ServingLog
from transform.errors import InputError
from transform.signature_names import CATALOG_DIGEST_OUTPUT, IN_CATALOG_OUTPUT, UNKNOWN_CONTEXT_OUTPUT

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of TF Serving's PredictionService.

    Attributes:
      method: The method's name.
      request: Its request.
      is_pinned: Whether the request names a version that another server has answered with: the server that the call
        reaches may not have it yet, or no longer.
    """

    method: Literal["Predict", "GetModelMetadata"]
    request: Message
    is_pinned: bool = False

    def attempts(self, settings: ClientSettings, now: float, deadline: float) -> CallAttempts:
        """The call's attempts; a pinned call is repeated after NOT_FOUND, since the next server may have the version.

        Arguments as in `CallAttempts`.
        """
        return CallAttempts(settings, now, deadline, retries_not_found=self.is_pinned)


#: Yields calls to make in parallel, and is sent their answers in the same order.
Steps: TypeAlias = Generator[list[Call], list[Any], Result]

#: After a model swap, a server may return these codes for a signature that only the previous version had.
_PERHAPS_SWAPPED = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND)

#: For how many versions the signatures are kept. While servers swap models one by one, answers come from two versions.
_NUM_VERSIONS = 4


class RankingSteps:
    """Holds the model's signatures, and generates the calls of each request."""

    def __init__(
        self, settings: ClientSettings, log: ServingLog | None = None, exploration: Exploration | None = None
    ) -> None:
        if exploration is not None and log is None:
            raise InputError("exploration needs a serving log, which has the chance of each place. Received: none")
        self._settings, self._log, self._exploration = settings, log, exploration
        of_log = [] if log is None else [CATALOG_DIGEST_OUTPUT]
        self._further_names = (IN_CATALOG_OUTPUT, UNKNOWN_CONTEXT_OUTPUT, *of_log)
        self._by_version: collections.OrderedDict[int, ModelSignatures] = collections.OrderedDict()
        self._current: ModelSignatures | None = None
        self._last_two: tuple[ModelSignatures, ...] = ()
        self._further: dict[str, list[str]] = {}
        self._named_unknowns = NamedUnknowns()

    def budget(self, deadline_seconds: float | None) -> float:
        """The request's budget in seconds; raises RequestError unless it is positive and finite."""
        if deadline_seconds is None:
            return self._settings.deadline_seconds
        if not 0 < deadline_seconds < math.inf:
            raise RequestError(f"deadline_seconds must be above 0 and finite. Received: {deadline_seconds}")
        return deadline_seconds

    def signatures(self) -> Steps[ModelSignatures]:
        """Asks the server for the model's current signatures."""
        (answer,) = yield [Call("GetModelMetadata", metadata_request(self._settings))]
        found = ModelSignatures.of(answer)
        self._by_version[found.version] = found
        while len(self._by_version) > _NUM_VERSIONS:
            self._by_version.popitem(last=False)
        self._set_current(found)
        return found

    def rank(
        self,
        context: Features | bytes,
        candidates: Sequence[Candidate],
        k: int | None,
        logits: bool,
        explain: bool = False,
        user: str = "",
    ) -> Steps[Ranking]:
        """Ranks candidates; the arguments are those of `RankingClient.rank`."""
        if k is not None and k < 1:
            raise RequestError(f"k must be at least 1. Received: {k}")
        if len(as_bytes(user, "the user's key")) > MAX_ID_BYTES:
            raise RequestError(f"the user's key must have at most {MAX_ID_BYTES:,} bytes. Received: more")
        encoded = encode_candidates(candidates, self._settings)
        known = self._current or (yield from self.signatures())
        try:
            ranking = yield from self._ask(known, context, encoded, k, logits, explain, user)
        except RankingError as error:
            if isinstance(error, RequestError) or error.code not in _PERHAPS_SWAPPED:
                raise
            found = yield from self.signatures()
            if found == known:
                raise
            ranking = yield from self._ask(found, context, encoded, k, logits, explain, user)
        self._set_current(self._by_version.get(ranking.version))
        return ranking

    def _set_current(self, found: ModelSignatures | None) -> None:
        """Sets the version that answers; if None, the next request asks for the signatures first.

        Of the outputs that not every model has, a request asks for those of this version and of the one that answered
        before it, if that has the request's signature: while servers swap models one by one, a server that still has
        the older version would refuse the others.
        """
        self._current = found
        if found is None or found in self._last_two[:1]:
            return
        before = [known for known in self._last_two if known.version != found.version]
        self._last_two = last_two = (found, *before[:1])
        self._further = {
            signature: [
                name
                for name in self._further_names
                if all(name in known.outputs[signature] for known in last_two if signature in known.outputs)
            ]
            for signature in found.outputs
        }

    def _ask(
        self,
        known: ModelSignatures,
        context: Features | bytes,
        candidates: Candidates,
        k: int | None,
        logits: bool,
        explain: bool,
        user: str,
    ) -> Steps[Ranking]:
        settings = self._settings
        signature = known.signature_for(candidates)
        if explain:
            check_explained(candidates, k, known)
        warnings = [] if isinstance(context, bytes) else known.warnings(context)
        warnings += known.item_warnings(candidates.names)
        if settings.strict and warnings:
            raise RequestError(warnings[0])
        encoded = encode_example(context, "the context", settings.max_example_bytes, known.context_kinds)
        parts = list(candidates.parts(settings.part_size))
        further = self._further.get(signature, [])
        requests = [predict_request(settings, signature, encoded, part, logits, further) for part in parts]
        answers = yield [Call("Predict", request) for request in requests]
        versions = [answer.model_spec.version.value for answer in answers]
        newest = max(versions)
        late = [i for i, version in enumerate(versions) if version != newest]
        if late:  # the model was swapped between the calls, and scores of two models are not comparable
            try:
                again = yield [_pinned(requests[i], newest) for i in late]
            except RankingError as error:
                if error.code != grpc.StatusCode.NOT_FOUND:
                    raise
                # No server that the calls reached has the newest version. One call for all needs no second answer.
                parts = [candidates]
                try:
                    whole = predict_request(settings, signature, encoded, candidates, logits, further)
                except RequestError:  # too long for one call
                    raise error from None
                answers = yield [Call("Predict", whole)]
                newest = answers[0].model_spec.version.value
            else:
                for i, answer in zip(late, again, strict=True):
                    answers[i] = answer
        items = [item for part, got in zip(parts, answers, strict=True) for item in read_ranking(got, signature, part)]
        if len(parts) > 1:
            items.sort(key=lambda item: -item.score)
        request_id = None if self._log is None else self._log.new_id()
        arrangement = None
        if self._exploration is not None and request_id is not None:
            arrangement = self._exploration.arrange([item.score for item in items], request_id, k)
            items = [items[index] for index in arrangement.order]
        unknown: tuple[str, ...] = ()
        if not isinstance(context, bytes):
            unknown = tuple(self._named_unknowns.warnings(context, read_unknown_context(answers[0]), newest))
        shown, explanations = tuple(items[:k]), tuple[Explanation, ...]()
        if explain:
            explained = explained_candidates(candidates, shown)
            (answer,) = yield [_pinned(explain_request(settings, signature, encoded, explained), newest)]
            found = read_explanations(answer, len(explained.ids))
            explanations = explanations_of_items(explained, found, candidates, shown)
        if self._log is not None and request_id is not None:
            log_ranking(
                self._log,
                request_id,
                items,
                candidates,
                encoded,
                arrangement,
                user_key=user,
                model=settings.model,
                version=newest,
                signature=signature,
                num_returned=len(shown),
                catalog_digest=read_catalog_digest(answers[0]),
            )
        all_warnings = (*warnings, *unknown)
        return Ranking(
            shown, settings.model, newest, signature, all_warnings, explanations, unknown, request_id, arrangement
        )


def _pinned(request: Message, version: int) -> Call:
    """The call that has a Predict request answered by a version."""
    pinned = PredictRequest()
    pinned.CopyFrom(request)
    pinned.model_spec.version.value = version
    return Call("Predict", pinned, is_pinned=True)
