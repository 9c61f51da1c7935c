"""The options of Beam's pipelines by a config's section `beam`, and their check by Beam's own parser."""

from __future__ import annotations

import contextlib
import io

from transform.config.beam import Beam, short_name, values_of
from transform.errors import InputError

#: Options of a local run: one process, rows in memory. The runner is named, since "DirectRunner" may select one that
#: downloads itself. No container is used; but if an image is named, TFX 1.21.0 does not package itself (42 MB) for the
#: remote workers of each component.
LOCAL_BEAM_ARGS = (
    "--runner=FnApiRunner",
    "--direct_running_mode=in_memory",
    "--direct_num_workers=1",
    "--sdk_container_image=none",
)

#: Beam's runner in this process with workers of pools, or forked ones, by its class's path, as Beam takes it.
_POOLS_RUNNER, _FORKED_RUNNER = "pipeline.beam_workers.runner.PoolsRunner", "pipeline.beam_workers.runner.ForkedRunner"

#: Runners without a job server, which could know options that Beam's Python SDK does not.
_WITHOUT_JOB_SERVER = ("bundlebaseddirect", "dataflow", "fnapi", "testdataflow")


def make_beam_args(settings: Beam) -> tuple[str, ...]:
    """Returns the options of Beam's pipelines by a config's section `beam`."""
    *_, image = LOCAL_BEAM_ARGS
    if settings.workers:
        return (f"--runner={_POOLS_RUNNER}", f"--environment_config={','.join(settings.workers)}", image)
    if settings.args or settings.num_workers == 1:
        return settings.args or LOCAL_BEAM_ARGS
    workers = f"--direct_num_workers={settings.num_workers}"
    return (f"--runner={_FORKED_RUNNER}", "--direct_running_mode=multi_processing", workers, image)


def check_beam(settings: Beam) -> None:
    """Checks that Beam knows the runner and the options of a config's section `beam`.

    Beam itself would exit, with the reason in the log only, or leave an option out. Without `args` there is nothing to
    check, and Beam, which takes seconds to import, is not imported.

    Raises:
      InputError: If Beam does not know the runner or an option, or an option's value is wrong.
    """
    if not settings.args:
        return
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    runner = values_of(settings.args, "runner")[-1]
    known = StandardOptions.KNOWN_RUNNER_NAMES
    if "." not in runner and short_name(runner) not in map(short_name, known):
        raise InputError(
            "`beam.args` (`--beam-arg`) must name a runner of Beam's, or a class by its dotted path. Received: "
            f"{runner!r}; allowed: {sorted(known)}"
        )
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            given = PipelineOptions(list(settings.args)).get_all_options(retain_unknown_options=True)
    except SystemExit as error:
        reason = printed.getvalue().rstrip().rpartition("error: ")[2]
        raise InputError(f"`beam.args` (`--beam-arg`) must be options that Beam knows: {reason}") from error
    unknown = sorted(given.keys() - PipelineOptions([]).get_all_options().keys())
    if unknown and short_name(runner) in _WITHOUT_JOB_SERVER:
        raise InputError(
            f"`beam.args` (`--beam-arg`) must be options that Beam knows, with {runner}. Received: --{unknown[0]}"
        )
