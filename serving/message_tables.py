"""Protobuf messages that are declared as a table of their fields, without generated code, in a descriptor pool each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Scalar = Literal["string", "bytes", "int32", "int64", "float", "double", "bool"]
_SCALARS = {name: getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{name.upper()}") for name in _Scalar.__args__}  # type: ignore[attr-defined]


class Field(NamedTuple):
    """A message's field: its name, its number, its type (a scalar, or a message of the table) and how many values."""

    name: str
    number: int
    kind: str
    values: Literal["one", "many", "by name"] = "one"


def _add_field(message: Any, field: Field, package: str) -> None:
    """Adds a field to a DescriptorProto; a map is a repeated message with a key and a value, as protobuf defines it."""
    kind = field.kind
    if field.values == "by name":
        entry = message.nested_type.add(name="".join(map(str.capitalize, field.name.split("_"))) + "Entry")
        entry.options.map_entry = True
        _add_field(entry, Field("key", 1, "string"), package)
        _add_field(entry, Field("value", 2, kind), package)
        kind = f"{message.name}.{entry.name}"
    added = message.field.add(name=field.name, number=field.number)
    added.label = added.LABEL_OPTIONAL if field.values == "one" else added.LABEL_REPEATED
    if kind in _SCALARS:
        added.type = _SCALARS[kind]
    else:
        added.type, added.type_name = added.TYPE_MESSAGE, f".{package}.{kind}"


def message_classes(package: str, messages: Mapping[str, tuple[Field, ...]]) -> dict[str, Any]:
    """Makes the classes of messages, in a pool of their own, so that no other definition can collide with them.

    Args:
      package: The protobuf package.
      messages: The fields by message.

    Returns:
      The classes by message.
    """
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}/messages.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field in fields:
            _add_field(message, field, package)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}
