"""The command `wdr serve`. This module imports neither TensorFlow nor gRPC until the command runs."""

from __future__ import annotations

import os
from typing import Any

import click

_FILE = click.Path(exists=True, dir_okay=False)
_FOLDER = click.Path(exists=True, file_okay=False)
_POSITIVE = click.FloatRange(min=0, min_open=True)
_SECONDS = click.FloatRange(min=0)
_PORT = click.IntRange(min=0, max=65535)


@click.command()
@click.option("--models", type=_FOLDER, help="A folder of models, such as WORKSPACE/serving: each one of versions.")
@click.option("--model", multiple=True, metavar="NAME=DIR", help="A model and its folder of versions.")
@click.option("--model-config-file", type=_FILE, help="TF Serving's model configuration, in place of the two above.")
@click.option(
    "--model-config-poll-seconds", type=_SECONDS, default=0.0, help="How often to read it again; 0 for never."
)
@click.option(
    "--monitoring-config-file", type=_FILE, help="TF Serving's: where it has the metrics, they are beside /metrics."
)
@click.option("--grpc-port", type=_PORT, default=8500, help="The port of gRPC; 0 for a free one, which the log tells.")
@click.option("--rest-port", type=_PORT, default=8501, help="The port of REST, metrics and health.")
@click.option("--host", default="127.0.0.1", help="The address to listen at; 0.0.0.0 for all of the machine's.")
@click.option("--keep-versions", type=click.IntRange(min=1), default=1, help="How many of the newest are loaded.")
@click.option("--specific", multiple=True, metavar="NAME=VERSION", help="Load this version, not the newest.")
@click.option("--label", multiple=True, metavar="NAME:LABEL=VERSION", help="A label, such as stable, of a version.")
@click.option(
    "--poll-seconds", type=_POSITIVE, default=1.0, help="How often to look for new versions, tokens and certificates."
)
@click.option("--retry-seconds", type=_POSITIVE, default=60.0, help="When to try a version again that was refused.")
@click.option(
    "--settle-seconds",
    type=_SECONDS,
    default=5.0,
    help="For how long the files of a version without a manifest must not have changed before it is loaded.",
)
@click.option("--load-seconds", type=_POSITIVE, default=600.0, help="A version that takes longer to load is refused.")
@click.option(
    "--threads", "num_threads", type=click.IntRange(min=1), help="Requests computed at once.  [default: the processors]"
)
@click.option(
    "--max-waiting",
    type=click.IntRange(min=1),
    default=100,
    help="Requests that wait for a thread, at most, and large bodies of JSON.",
)
@click.option(
    "--max-waiting-elements",
    type=click.IntRange(min=1),
    default=500_000,
    help="Candidates or rows of all requests that wait, at most.",
)
@click.option("--max-batch", type=click.IntRange(min=1), default=1, help="Waiting requests computed as one, at most.")
@click.option(
    "--max-elements", type=click.IntRange(min=1), default=10_000, help="Of an input of strings: candidates, examples."
)
@click.option(
    "--max-message-bytes", type=click.IntRange(min=1), default=8 << 20, help="Of a request, and of an input of numbers."
)
@click.option("--max-connections", type=click.IntRange(min=1), default=1000, help="At each port, at most.")
@click.option("--timeout-seconds", type=_POSITIVE, default=30.0, help="Of a request that brings no deadline.")
@click.option("--grace-seconds", type=_POSITIVE, default=10.0, help="For requests at work when the server is stopped.")
@click.option(
    "--connection-age-seconds",
    type=_POSITIVE,
    help="At this age a gRPC connection ends, after its calls: the client looks for new servers.  [default: none]",
)
@click.option(
    "--tls-certificate", type=_FILE, help="A PEM file: all ports speak TLS. It is read again when it changes."
)
@click.option("--tls-key", type=_FILE, help="Its private key, not encrypted; likewise.")
@click.option(
    "--tls-client-ca", type=_FILE, help="A PEM file: clients must have a certificate of its authorities; likewise."
)
@click.option(
    "--token-file",
    type=_FILE,
    help="A file of tokens, one a line: clients must send `authorization: Bearer TOKEN` with one of them. It is read "
    "again when it changes.",
)
@click.option(
    "--operator-token-file",
    type=_FILE,
    help="Likewise other tokens, for operators: who sends one may call HandleReloadConfigRequest at any port. "
    "Without it, that is refused but at a port that is bound to loopback.",
)
@click.option("--admin-port", type=_PORT, help="One more gRPC port, ModelService's alone; 0 for a free one.")
@click.option("--admin-host", default="127.0.0.1", help="Its address; others than loopback need an operator's token.")
def serve(**options: Any) -> None:
    """Serve pushed models by TF Serving's protocol, over gRPC and REST."""
    from serving.model_server.flags import Flags
    from transform.errors import UserError

    options["num_threads"] = options["num_threads"] or os.cpu_count() or 1
    flags = Flags(**options)
    if bool(flags.tls_certificate) != bool(flags.tls_key):
        raise click.UsageError("`--tls-certificate` and `--tls-key` go together")
    if flags.tls_client_ca and not flags.tls_certificate:
        raise click.UsageError("`--tls-client-ca` needs `--tls-certificate`")
    # The log is JSON, and TensorFlow and gRPC would write other formats. The client learns of what they would log, such
    # as a failed handshake.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from serving.model_server.protos import import_protos_alone

    import_protos_alone()
    import asyncio
    import logging

    from serving.model_server.logs import LibraryLog
    from serving.model_server.server import serve as serve_until_stopped

    logging.basicConfig(level=logging.WARNING, handlers=[LibraryLog()])
    try:
        asyncio.run(serve_until_stopped(flags))
    except UserError as error:
        raise click.ClickException(str(error)) from error
