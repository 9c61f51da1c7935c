"""gRPC reflection: clients such as grpcurl can ask the server for its services and their messages."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import Message
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection

from serving.model_server.protocol.services import METHODS, PACKAGE, full_names


def enable(server: grpc.aio.Server, services: Sequence[str]) -> None:
    """Enables gRPC reflection for a server's services, named as in `METHODS`."""
    for service in services:
        _describe(service, METHODS[service])
    names = full_names(services)
    reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)


def _describe(service: str, methods: dict[str, tuple[type[Message], type[Message]]]) -> None:
    messages = [message.DESCRIPTOR for pair in methods.values() for message in pair]
    file = descriptor_pb2.FileDescriptorProto(
        name=f"wide_deep_ranker/{service}.proto",
        package=PACKAGE,
        syntax="proto3",
        dependency=sorted({message.file.name for message in messages}),
    )
    described = file.service.add(name=service)
    for name, (request, response) in methods.items():
        described.method.add(
            name=name,
            input_type=f".{request.DESCRIPTOR.full_name}",
            output_type=f".{response.DESCRIPTOR.full_name}",
        )
    descriptor_pool.Default().Add(file)
