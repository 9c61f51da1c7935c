"""The one error of both protocols: a code and a sentence."""

from __future__ import annotations

import grpc

_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


class ServingError(Exception):
    """Why a request has no answer.

    Attributes:
      code: gRPC's code; REST derives its own from it.
      message: One sentence, TF Serving's own where it has one.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type[ServingError], tuple[grpc.StatusCode, str]]:
        """As it comes out of the process that parses large bodies."""
        return type(self), (self.code, self.message)


def invalid(message: str) -> ServingError:
    """The error of a request that can never be answered."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> ServingError:
    """The error of a request for what is not there."""
    return ServingError(grpc.StatusCode.NOT_FOUND, message)


def of_number(number: int, message: str) -> ServingError:
    """The error with a code's number, which TensorFlow and gRPC have in common."""
    return ServingError(_BY_NUMBER.get(number, grpc.StatusCode.UNKNOWN), message)
