"""The error type of both protocols: a gRPC code and a message."""

from __future__ import annotations

import grpc

_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


class ServingError(Exception):
    """A request that failed.

    Attributes:
      code: The gRPC code; REST derives its HTTP status from it.
      message: One sentence; the same as TF Serving's where it has one. What UTF-8 has not, as in the name of a file, is
        written as its escape: gRPC and JSON have no form of it.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        self.code = code
        self.message = message.encode(errors="backslashreplace").decode()
        super().__init__(self.message)

    def __reduce__(self) -> tuple[type[ServingError], tuple[grpc.StatusCode, str]]:
        """Makes the error picklable: the process that parses large bodies sends it back."""
        return type(self), (self.code, self.message)


def invalid(message: str) -> ServingError:
    """Makes the error of a request that is invalid, whatever the server's state."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> ServingError:
    """Makes the error of a request for something that does not exist."""
    return ServingError(grpc.StatusCode.NOT_FOUND, message)


def make_error(number: int, message: str) -> ServingError:
    """Makes the error of a numeric status code; TensorFlow and gRPC use the same numbers."""
    return ServingError(_BY_NUMBER.get(number, grpc.StatusCode.UNKNOWN), message)
