"""The command `wdr rank-service`: rankings over HTTP, with the serving log and exploration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.ranking import Command, client_options, client_settings
from transform.errors import InputError, UserError

if TYPE_CHECKING:  # importing them imports gRPC
    from serving.serving_log.event_log import EventLog
    from serving.serving_log.exploration import Exploration
    from serving.serving_log.log import ServingLog

_LOG_OPTIONS = (
    click.option("--log-dir", type=click.Path(file_okay=False), help="Write the serving log to this folder."),
    click.option("--log-key", type=click.Path(dir_okay=False), help="A file of keys for the MAC of request ids."),
    click.option(
        "--log-sample", type=click.FloatRange(0, 1, min_open=True), help="The share of requests logged.  [default: 1]"
    ),
    click.option("--log-file-bytes", type=click.IntRange(min=1), help="The longest file.  [default: 64 MiB]"),
    click.option(
        "--log-file-seconds", type=click.FloatRange(min=1), help="A file is sealed at this age.  [default: 300]"
    ),
    click.option("--log-keep-bytes", type=click.IntRange(min=1), help="The most bytes kept.  [default: 8 GiB]"),
    click.option(
        "--log-keep-days", type=click.FloatRange(min=0, min_open=True), help="Remove files this old.  [default: 7]"
    ),
)
_EXPLORATION_OPTIONS = (
    click.option(
        "--explore", type=click.Choice(["swap", "shuffle"]), help="Move shown items by chance; needs the serving log."
    ),
    click.option("--epsilon", type=click.FloatRange(0, 1), help="The share of requests explored.  [default: 0.05]"),
    click.option(
        "--max-loss", type=click.FloatRange(0, 1),
        help="The most that it may cost, as a share of a request's expected installs.  [default: 0.2]",
    ),
    click.option("--num-shown", type=click.IntRange(1, 1_000), help="The places that are shown.  [default: 10]"),
    click.option(
        "--discounts", metavar="1,0.6,…",
        help="By place, the share of its installs that an item keeps there.  [default: 1 / log2(1 + place)]",
    ),
)  # fmt: skip


def _log_options(command: Command) -> Command:
    for option in reversed((*_LOG_OPTIONS, *_EXPLORATION_OPTIONS)):
        command = option(command)
    return command


def _serving_log(given: dict[str, Any]) -> tuple[ServingLog, EventLog] | tuple[None, None]:
    """Opens the serving log, and that of events, by the values of `_LOG_OPTIONS`; None without `--log-dir`."""
    given = {name: value for name, value in given.items() if value is not None}
    if given and not {"log_dir", "log_key"} <= given.keys():
        raise click.UsageError("the serving log needs `--log-dir` and `--log-key`, and its other options need both")
    if not given:
        return None, None
    from serving.serving_log.event_log import EventLog
    from serving.serving_log.log import ServingLog
    from serving.serving_log.settings import LogSettings

    if (days := given.pop("log_keep_days", None)) is not None:
        given["log_keep_seconds"] = days * 86_400
    folder, key_file = given.pop("log_dir"), given.pop("log_key")
    try:
        settings = LogSettings(folder, key_file, **{k.removeprefix("log_"): v for k, v in given.items()})
        return ServingLog(settings), EventLog(settings)
    except OSError as error:
        raise UserError(f"the serving log needs a folder to write to and a file of keys. Received: {error}") from error


def _exploration(policy: str | None, discounts: str | None, **given: Any) -> Exploration | None:
    """Makes the policy by the values of `_EXPLORATION_OPTIONS`; None without `--explore`."""
    given = {name: value for name, value in given.items() if value is not None}
    if policy is None:
        if given or discounts is not None:
            raise click.UsageError(
                "`--epsilon`, `--max-loss`, `--num-shown` and `--discounts` go with `--explore` only"
            )
        return None
    from serving.serving_log.exploration import Exploration

    if discounts is not None:
        try:
            given["discounts"] = tuple(float(number) for number in discounts.split(","))
        except ValueError as error:
            raise InputError(f"--discounts must be comma-separated numbers. Received: {discounts[:100]!r}") from error
        given.setdefault("num_shown", len(given["discounts"]))
    return Exploration(policy, **({"epsilon": 0.05} | given))


@click.command("rank-service")
@client_options
@click.option("--host", default="127.0.0.1", help="The address to listen on; the default accepts this machine only.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080)
@click.option("--max-body-bytes", type=click.IntRange(min=1), default=4 * 1024 * 1024, help="The longest body.")
@click.option("--strict", is_flag=True, help="Refuse what the model would ignore, such as a misspelt feature.")
@click.option(
    "--timeout-seconds", type=click.FloatRange(min=0.1), default=30.0, help="Limit for a request's head, and its body."
)
@click.option(
    "--max-concurrent", type=click.IntRange(min=1), default=64, help="Concurrent rankings; others are refused."
)
@click.option("--ui", is_flag=True, help="Serve the playground, a page for people, at /ui.")
@click.option(
    "--examples", "examples_path", type=click.Path(exists=True), metavar="VERSION|FILE",
    help="Contexts and candidates for the playground: a pushed version, or a JSON Lines file of bodies of /rank.",
)  # fmt: skip
@click.option(
    "--ui-host", "ui_hosts", multiple=True, metavar="NAME",
    help="A name under which the playground is opened, beside localhost and IP addresses; may be repeated.",
)  # fmt: skip
@_log_options
def rank_service(
    host: str,
    port: int,
    max_body_bytes: int,
    max_concurrent: int,
    timeout_seconds: float,
    strict: bool,
    ui: bool,
    examples_path: str | None,
    ui_hosts: tuple[str, ...],
    explore: str | None,
    epsilon: float | None,
    max_loss: float | None,
    num_shown: int | None,
    discounts: str | None,
    **others: Any,
) -> None:
    """Serve /rank over HTTP, with its OpenAPI page at /docs, and /metrics for Prometheus."""
    if examples_path is not None and not ui:
        raise click.UsageError("`--examples` goes with `--ui` only")
    if ui_hosts and not ui:
        raise click.UsageError("`--ui-host` goes with `--ui` only")
    of_log = {name: others.pop(name) for name in list(others) if name.startswith("log_")}
    exploration = _exploration(explore, discounts, epsilon=epsilon, max_loss=max_loss, num_shown=num_shown)
    if exploration is not None and of_log["log_dir"] is None:
        raise click.UsageError("`--explore` needs the serving log, `--log-dir` and `--log-key`, which has the chances")
    settings = client_settings(**others, strict=strict or None)
    from serving.model_server.protos import import_protos_alone

    import_protos_alone()  # must precede the first import of TF Serving's protos, which would import all of TensorFlow
    from serving.rank_service.service import make_app, serve

    playground = None
    if ui:
        from serving.load_test.recorded import Recorded, read_recorded
        from serving.rank_service.playground import Playground

        recorded = Recorded([], []) if examples_path is None else read_recorded(examples_path)
        playground = Playground(settings, recorded.contexts, recorded.candidates, ui_hosts)
    log, event_log = _serving_log(of_log)
    app = make_app(settings, max_body_bytes, max_concurrent, timeout_seconds, playground, log, event_log, exploration)
    serve(app, host, port, timeout_seconds)
