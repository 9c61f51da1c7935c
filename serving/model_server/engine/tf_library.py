"""The part of TensorFlow's C API that a model server needs: load a SavedModel, run it, free it.

It uses the same loader and session as TF Serving; `tensorflow/c/c_api.h` is public and stable, but for
`TF_TensorFromProto` of `c_api_experimental.h` and the library's name, which are those of TensorFlow 2.21.0. It releases
Python's lock while a model loads and while it runs. Measured on two cores with the app store's model: a load takes
0.4 s, but 1.2 s with `tf.saved_model.load`, which makes a concurrent request wait up to 200 ms for the lock. A process
is ready to load after 0.5 s instead of 6 s. A run executes no Python between its inputs and its outputs.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import tempfile
from collections.abc import Iterator, Sequence
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_int64, c_size_t, c_void_p
from typing import Any

from serving.model_server.errors import make_error
from serving.model_server.protos import tensorflow_folder

#: The tag of the graph that TF Serving loads.
_SERVE = b"serve"

_FLOAT = 1


class Buffer(Structure):
    """`TF_Buffer`: bytes, and the function that frees them."""

    _fields_ = (("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p))


class Output(Structure):
    """`TF_Output`: one of an operation's outputs."""

    _fields_ = (("operation", c_void_p), ("index", c_int))


#: The arguments for what is fed, and for what is fetched: the graph's outputs, their tensors, and how many these are.
_ENDS = POINTER(Output), POINTER(c_void_p), c_int

#: The return type and the argument types of each function that is used.
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "TF_AllocateTensor": (c_void_p, (c_int, POINTER(c_int64), c_int, c_size_t)),
    "TF_CloseSession": (None, (c_void_p, c_void_p)),
    "TF_DeleteBuffer": (None, (POINTER(Buffer),)),
    "TF_DeleteGraph": (None, (c_void_p,)),
    "TF_DeleteSession": (None, (c_void_p, c_void_p)),
    "TF_DeleteSessionOptions": (None, (c_void_p,)),
    "TF_DeleteStatus": (None, (c_void_p,)),
    "TF_DeleteTensor": (None, (c_void_p,)),
    "TF_Dim": (c_int64, (c_void_p, c_int)),
    "TF_GetCode": (c_int, (c_void_p,)),
    "TF_GraphOperationByName": (c_void_p, (c_void_p, c_char_p)),
    "TF_LoadSessionFromSavedModel": (
        c_void_p,
        (c_void_p, POINTER(Buffer), c_char_p, POINTER(c_char_p), c_int, c_void_p, POINTER(Buffer), c_void_p),
    ),
    "TF_Message": (c_char_p, (c_void_p,)),
    "TF_NewBuffer": (POINTER(Buffer), ()),
    "TF_NewGraph": (c_void_p, ()),
    "TF_NewSession": (c_void_p, (c_void_p, c_void_p, c_void_p)),
    "TF_NewSessionOptions": (c_void_p, ()),
    "TF_NewStatus": (c_void_p, ()),
    "TF_NumDims": (c_int, (c_void_p,)),
    "TF_SessionRun": (None, (c_void_p, POINTER(Buffer), *_ENDS, *_ENDS, c_void_p, c_int, c_void_p, c_void_p)),
    "TF_SetConfig": (None, (c_void_p, c_char_p, c_size_t, c_void_p)),
    "TF_StringGetDataPointer": (c_void_p, (c_void_p,)),
    "TF_StringGetSize": (c_size_t, (c_void_p,)),
    "TF_TensorByteSize": (c_size_t, (c_void_p,)),
    "TF_TensorData": (c_void_p, (c_void_p,)),
    "TF_TensorFromProto": (None, (POINTER(Buffer), c_void_p, c_void_p)),
    "TF_TensorType": (c_int, (c_void_p,)),
}


@functools.cache
def library() -> ctypes.CDLL:
    """Loads TensorFlow's library, and declares its functions."""
    loaded = ctypes.CDLL(os.path.join(tensorflow_folder(), "libtensorflow_cc.so.2"))
    for name, (returns, takes) in _SIGNATURES.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = returns, takes
    return loaded


class Status:
    """`TF_Status`: a call's status. As a context manager, it raises the call's error as a `ServingError` on exit."""

    def __enter__(self) -> int:
        self._status = int(library().TF_NewStatus())
        return self._status

    def __exit__(self, *raised: object) -> None:
        number, message = library().TF_GetCode(self._status), library().TF_Message(self._status)
        library().TF_DeleteStatus(self._status)
        if number:
            raise make_error(number, message.decode(errors="replace"))


class Tensor:
    """`TF_Tensor`, freed with this object."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def __del__(self) -> None:
        library().TF_DeleteTensor(self.handle)

    @classmethod
    def from_proto(cls, serialized: bytes) -> Tensor:
        """Makes a tensor from a serialized TensorProto.

        Raises:
          ServingError: If it is not a valid one.
        """
        tensor = cls(library().TF_AllocateTensor(_FLOAT, None, 0, 4))  # a placeholder, which the call below replaces
        with Status() as status:
            library().TF_TensorFromProto(byref(_buffer(serialized)), tensor.handle, status)
        return tensor

    @property
    def dtype(self) -> int:
        """Its `DataType`."""
        return int(library().TF_TensorType(self.handle))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(library().TF_Dim(self.handle, axis) for axis in range(library().TF_NumDims(self.handle)))

    @property
    def address(self) -> int:
        """The address of its values."""
        return int(library().TF_TensorData(self.handle) or 0)

    @property
    def raw(self) -> bytes:
        """Its values as they are stored in memory."""
        size = library().TF_TensorByteSize(self.handle)
        return ctypes.string_at(self.address, size) if size else b""


def _buffer(data: bytes) -> Buffer:
    """Makes a buffer of Python's bytes, and keeps them alive."""
    buffer = Buffer(ctypes.cast(c_char_p(data), c_void_p), len(data), None)
    buffer.owner = data
    return buffer


class Session:
    """A loaded SavedModel. `run` may be called from any number of threads at once."""

    def __init__(self, path: str, config: bytes, run_options: bytes) -> None:
        """Loads a SavedModel.

        Args:
          path: The SavedModel's folder.
          config: A serialized ConfigProto.
          run_options: A serialized RunOptions for the load.

        Raises:
          ServingError: If it does not load.
        """
        meta_graph = library().TF_NewBuffer()
        options = _session_options(config)
        self._graph: int | None = library().TF_NewGraph()
        self._session: int | None = None
        try:
            with Status() as status:
                load_options, folder, tags = byref(_buffer(run_options)), os.fsencode(path), (c_char_p * 1)(_SERVE)
                self._session = library().TF_LoadSessionFromSavedModel(
                    options, load_options, folder, tags, len(tags), self._graph, meta_graph, status
                )
            #: The serialized MetaGraphDef.
            self.meta_graph = ctypes.string_at(meta_graph.contents.data, meta_graph.contents.length)
        except BaseException:
            self.close()
            raise
        finally:
            library().TF_DeleteBuffer(meta_graph)
            library().TF_DeleteSessionOptions(options)

    def output(self, name: str) -> Output:
        """Finds the graph output that a TensorInfo names, such as `serving_default_examples:0`."""
        operation, _, index = name.partition(":")
        found = library().TF_GraphOperationByName(self._graph, operation.encode())
        if not found:
            raise make_error(3, f"the graph must have what its signatures name. Missing: {name}")
        return Output(found, int(index or 0))

    def run(
        self, feeds: Sequence[Output], tensors: Sequence[Tensor], fetches: Sequence[Output], run_options: bytes
    ) -> list[Tensor]:
        """Computes `fetches` from `tensors`, one for each of `feeds`; `run_options` is a serialized RunOptions."""
        handles = (c_void_p * len(tensors))(*(tensor.handle for tensor in tensors))
        results = (c_void_p * len(fetches))()
        fed = (Output * len(feeds))(*feeds), handles, len(feeds)
        fetched = (Output * len(fetches))(*fetches), results, len(fetches)
        with Status() as status:
            options = byref(_buffer(run_options))
            library().TF_SessionRun(self._session, options, *fed, *fetched, None, 0, None, status)
        return [Tensor(handle) for handle in results if handle is not None]

    def cancel(self) -> None:
        """Aborts running computations with an error, and refuses further ones. It may be called during `run`."""
        with Status() as status:
            library().TF_CloseSession(self._session, status)

    def close(self) -> None:
        """Frees all that the model holds. Call it only when nothing runs any more."""
        session, graph, self._session, self._graph = self._session, self._graph, None, None
        if session:
            with Status() as status:
                library().TF_CloseSession(session, status)
            with Status() as status:
                library().TF_DeleteSession(session, status)
        if graph:
            library().TF_DeleteGraph(graph)


def _session_options(config: bytes) -> int:
    options: int = library().TF_NewSessionOptions()
    with Status() as status:
        library().TF_SetConfig(options, config, len(config), status)
    return options


@contextlib.contextmanager
def _without_notes() -> Iterator[None]:
    """Hides what TensorFlow logs at its load, before it reads `TF_CPP_MIN_LOG_LEVEL`; after an error it is shown."""
    saved = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            os.write(saved, notes.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


@_without_notes()
def start_threads(config: bytes) -> None:
    """Starts the threads that all sessions share; they inherit the calling thread's priority."""
    options, graph = _session_options(config), library().TF_NewGraph()
    with Status() as status:
        session = library().TF_NewSession(graph, options, status)
    with Status() as status:
        library().TF_DeleteSession(session, status)
    library().TF_DeleteGraph(graph)
    library().TF_DeleteSessionOptions(options)
