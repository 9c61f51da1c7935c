"""The command `wdr serve`. This module imports neither TensorFlow nor gRPC until the command runs."""

from __future__ import annotations

import os
from typing import Any

import click

_FILE = click.Path(exists=True, dir_okay=False)
_FOLDER = click.Path(exists=True, file_okay=False)
_POSITIVE = click.FloatRange(min=0, min_open=True)
_SECONDS = click.FloatRange(min=0)
_COUNT = click.IntRange(min=1)
_PORT = click.IntRange(min=0, max=65535)


@click.command()
@click.option(
    "--models", type=_FOLDER, help="A folder of models, such as WORKSPACE/serving; each is a folder of versions."
)
@click.option("--model", multiple=True, metavar="NAME=DIR", help="A model and its folder of versions.")
@click.option(
    "--model-config-file", type=_FILE, help="TF Serving's model configuration, instead of the two options above."
)
@click.option(
    "--model-config-poll-seconds", type=_SECONDS, default=0.0, help="How often to reload that file; 0 for never."
)
@click.option(
    "--monitoring-config-file",
    type=_FILE,
    help="TF Serving's monitoring configuration; metrics are served at its path and at /metrics.",
)
@click.option("--grpc-port", type=_PORT, default=8500, help="The gRPC port; 0 for a free one, which is logged.")
@click.option("--rest-port", type=_PORT, default=8501, help="The port for REST, metrics and health checks.")
@click.option("--host", default="127.0.0.1", help="The address to listen on; 0.0.0.0 for all interfaces.")
@click.option("--keep-versions", type=_COUNT, default=1, help="Number of newest versions to load.")
@click.option("--specific", multiple=True, metavar="NAME=VERSION", help="Load this version instead of the newest.")
@click.option(
    "--label", multiple=True, metavar="NAME:LABEL=VERSION", help="Assign a label, such as stable, to a version."
)
@click.option(
    "--poll-seconds", type=_POSITIVE, default=1.0, help="How often to look for new versions, tokens and certificates."
)
@click.option("--retry-seconds", type=_POSITIVE, default=60.0, help="Pause before a refused version is tried again.")
@click.option(
    "--settle-seconds",
    type=_SECONDS,
    default=5.0,
    help="For how long the files of a version without a manifest must not have changed before it is loaded.",
)
@click.option("--load-seconds", type=_POSITIVE, default=600.0, help="A version that takes longer to load is refused.")
@click.option(
    "--threads", "num_threads", type=_COUNT, help="Requests computed concurrently.  [default: number of processors]"
)
@click.option(
    "--max-waiting",
    type=_COUNT,
    default=100,
    help="Maximum number of requests that wait for a thread, and of large messages that wait to be parsed.",
)
@click.option(
    "--max-waiting-elements",
    type=_COUNT,
    default=500_000,
    help="Maximum work of all waiting requests, in candidates or rows.",
)
@click.option("--max-batch", type=_COUNT, default=1, help="Maximum number of waiting requests computed as one.")
@click.option(
    "--max-elements",
    type=_COUNT,
    default=10_000,
    help="Maximum number of elements of a string input, such as candidates.",
)
@click.option(
    "--max-message-bytes", type=_COUNT, default=8 << 20, help="Maximum size of a request, and of a numeric input."
)
@click.option("--max-connections", type=_COUNT, default=1000, help="Maximum number of connections per port.")
@click.option("--timeout-seconds", type=_POSITIVE, default=30.0, help="Time limit of a request without a deadline.")
@click.option(
    "--grace-seconds", type=_POSITIVE, default=10.0, help="Time for running requests to end when the server stops."
)
@click.option(
    "--connection-age-seconds",
    type=_POSITIVE,
    help="Maximum age of a gRPC connection; it is closed after its calls, and the client reconnects, "
    "perhaps to another server.  [default: none]",
)
@click.option(
    "--tls-certificate",
    type=_FILE,
    help="The server's certificate, a PEM file; all ports use TLS. Reloaded when it changes.",
)
@click.option("--tls-key", type=_FILE, help="The certificate's private key, unencrypted. Reloaded when it changes.")
@click.option(
    "--tls-client-ca",
    type=_FILE,
    help="Certificate authorities, a PEM file; clients must present a certificate of one of them. "
    "Reloaded when it changes.",
)
@click.option(
    "--token-file",
    type=_FILE,
    help="A file of tokens, one per line; clients must send `authorization: Bearer TOKEN` with one of them. It is read "
    "again when it changes.",
)
@click.option(
    "--operator-token-file",
    type=_FILE,
    help="Operators' tokens, one per line; a caller with one of them may call HandleReloadConfigRequest at any port. "
    "Without this file, that call is allowed only at a port that is bound to loopback.",
)
@click.option("--admin-port", type=_PORT, help="An additional gRPC port for ModelService only; 0 for a free one.")
@click.option(
    "--admin-host",
    default="127.0.0.1",
    help="The admin port's address; other than loopback requires --operator-token-file.",
)
def serve(**options: Any) -> None:
    """Serve pushed models by TF Serving's protocol, over gRPC and REST."""
    if bool(options["tls_certificate"]) != bool(options["tls_key"]):
        raise click.UsageError("`--tls-certificate` and `--tls-key` must be given together")
    if options["tls_client_ca"] and not options["tls_certificate"]:
        raise click.UsageError("`--tls-client-ca` needs `--tls-certificate`")
    # The log is JSON, and TensorFlow and gRPC would write other formats. The client learns of what they would log, such
    # as a failed handshake.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from serving.model_server.protos import import_protos_alone

    import_protos_alone()
    import asyncio
    import logging

    from serving.model_server.flags import Flags
    from serving.model_server.logs import LibraryLog, finish
    from serving.model_server.server import serve as serve_until_stopped
    from transform.errors import UserError

    options["num_threads"] = options["num_threads"] or os.cpu_count() or 1
    logging.basicConfig(level=logging.WARNING, handlers=[LibraryLog()])
    try:
        asyncio.run(serve_until_stopped(Flags(**options)))
    except UserError as error:
        raise click.ClickException(str(error)) from error
    finally:
        finish()
