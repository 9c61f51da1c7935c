"""The process: both protocols, the queue and the watcher, from start to a graceful end."""

from __future__ import annotations

import asyncio
import signal

import grpc

from serving.model_server import servable
from serving.model_server.flags import Flags
from serving.model_server.grpc_service import add_services
from serving.model_server.inference import Inference
from serving.model_server.logs import log
from serving.model_server.manager import Manager
from serving.model_server.model_service import ModelStatus
from serving.model_server.work_queue import WorkQueue


async def serve(flags: Flags) -> None:
    """Serves until the process is told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    servable.start(flags.num_threads)
    manager = Manager(flags.configs(), flags.num_threads, flags.retry_seconds)
    queue = WorkQueue(flags.num_threads, flags.max_waiting)
    inference, models = Inference(manager, queue, flags.max_elements), ModelStatus(manager)
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", flags.max_message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ]
    )
    add_services(server, inference, models)
    port = server.add_insecure_port(f"{flags.host}:{flags.grpc_port}")
    await server.start()
    log("info", "listening", grpc=f"{flags.host}:{port}")
    watcher = asyncio.create_task(manager.watch(flags.poll_seconds))
    await stop.wait()
    log("info", "stopping")
    watcher.cancel()
    await server.stop(flags.grace_seconds)
    await manager.close()
    queue.stop()
