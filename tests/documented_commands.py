"""The commands and Python snippets that the pages name, and those of them that no test runs as they stand, with why.

`tests/test_documented_commands.py` runs all others.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import click

from tests.command_lines import check_call, command_of
from tests.pages import FENCE, lines_of, name_of, text_of

#: A fenced block, or code within a line.
_CODE = re.compile(rf"{FENCE.pattern}|(?<!`)`([^`]+)`(?!`)", re.MULTILINE | re.DOTALL)

#: Programs of which code within a line may be a command; in a shell block each line is one.
_PROGRAMS = frozenset({
    "airflow", "bash", "curl", "diff", "docker", "gcloud", "git", "grep", "helm", "kubectl", "make", "pip",
    "pre-commit", "promtool", "pytest", "python", "sphinx-build", "tfx",
})  # fmt: skip

#: What a reader's shell finds without it.
_ENVIRONMENT = re.compile(r"(?<!\S)\.venv/bin/")


@dataclasses.dataclass(frozen=True)
class Command:
    """A command or a Python snippet of a page.

    Attributes:
      page: The page's path within the project.
      language: `sh` or `python`.
      text: A command without its comment and without `.venv/bin/`; or a snippet.
    """

    page: str
    language: str
    text: str

    @property
    def words(self) -> list[str]:
        """A command's words, without the variables that are set for it."""
        return command_of(self.text)


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """Commands that are not run as they stand.

    Attributes:
      pattern: Matches the beginning of each such command, after the variables that are set for it.
      reason: Why, in one sentence.
    """

    pattern: str
    reason: str

    def matches(self, command: Command) -> bool:
        """Whether the row is about a command."""
        call = re.sub(r"^(?:[A-Za-z_]\w*=\S+ )+", "", command.text)
        return re.match(self.pattern, call) is not None


LEFT_OUT = (
    LeftOut(r"make (setup|lint|test|test-all)\b", "`.ci/run`, which CI runs, is `make lint test-all`, after `setup`."),
    LeftOut(r"make quick$", "It runs tests; `tests/test_quick.py` shows which."),
    LeftOut(r"make run$", "It takes minutes; the commands that it calls are run on a small store."),
    LeftOut(r"wdr simulate-loop ", "It takes hours; `tests/pipeline/simulated_loop/test_loop.py` runs two small days."),
    LeftOut(r"wdr export-log ", "It needs a served log; `tests/e2e/test_served_log.py` exports one."),
    LeftOut(r"make docs$", "`tests/test_docs.py` builds the site with the same options of Sphinx."),
    LeftOut(r"make airflow$", "It runs until Ctrl-C; `tests/soak/airflow.py` runs the DAG in a real Airflow."),
    LeftOut(r"make soak$", "The campaigns take hours; each has a short form among the slow tests."),
    LeftOut(r"make lock$", "It asks the package index, which tests do not."),
    LeftOut(r"make clean$", "It removes the environment in which the tests run."),
    LeftOut(r"python -m pytest ", "CI runs these tests among all others."),
    LeftOut(r"python -m pip wheel ", "`tests/test_wheel.py` builds the wheel by the same call of pip."),
    LeftOut(r"pip install --no-deps$", "It lacks the wheel's name; `tests/test_wheel.py` installs the wheel this way."),
    LeftOut(r"pip install dist/", "`tests/serving/ranking_client/test_client_wheel.py` installs the client's wheel."),
    LeftOut(r"eval ", "It changes the shell; `tests/pipeline/test_fast_start.py` completes a command."),
    LeftOut(r"docker ", "It needs Docker; `tests/deploy/test_manifests.py` checks Dockerfile and compose file."),
    LeftOut(r"go install ", "It takes minutes; `tests/e2e/test_prism.py` builds Prism by the same name."),
    LeftOut(r"\$HOME/bin/prism ", "It runs until Ctrl-C; `tests/e2e/test_prism.py` runs it."),
    LeftOut(r"kubectl ", "It needs a cluster; `tests/deploy/test_manifests.py` checks the manifests by the schemas."),
    LeftOut(r"airflow ", "It needs Airflow's own environment, in which `tests/soak/airflow.py` runs the DAG."),
    LeftOut(r"python deploy/kubeflow/upload.py ", "It needs Kubeflow's server; `tests/deploy/test_upload.py` has one."),
    LeftOut(r"export |tfx ", "`tests/e2e/test_tfx_command.py` runs these lines to a push, which takes a minute."),
    LeftOut(r"rsync |pg_dump |pg_restore ",
            "They need a place for copies, or PostgreSQL; `tests/pipeline/check/test_workspace.py` restores a copy."),
    LeftOut(r"wdr run configs/examples/", "A cold run takes a minute; `tests/test_examples.py` checks the config."),
    LeftOut(r"wdr run configs/frappe", "Frappe's data are not part of the project."),
    LeftOut(r"wdr run configs/app_store.yaml .*--backfill ", "`tests/e2e/test_killed_runs.py` runs a backfill."),
    LeftOut(r"wdr run configs/app_store.yaml .*--force-push ", "`tests/e2e/test_next_day.py` forces a push."),
    LeftOut(r"wdr run configs/app_store.yaml .*--accept-span ",
            "A cold run takes a minute; `wdr run-node` is run with this option."),
    LeftOut(r"wdr run configs/app_store.yaml (?!.*(--backfill|--force-push|--accept-span))",
            "A cold run takes a minute; `tests/e2e/test_first_day.py` and `test_next_day.py` have the small store's."),
    LeftOut(r"wdr try ", "It takes a minute; `tests/e2e/test_try.py` compares configs of the small store."),
    LeftOut(r"wdr run-node .*--node trainer ", "It comes after others; `tests/e2e/test_node_runs.py` runs them all."),
    LeftOut(r"wdr load-test .*--p99-ms ", "Minutes; `tests/serving/ranking_client/test_commands.py` has a search."),
    LeftOut(r"(?s).*\.\.\.|squares = ", "A part of a module to be edited, not a program."),
)  # fmt: skip

#: Commands of which only the arguments are tried, with `--help` after them.
WITH_HELP = (
    LeftOut(r"python -m benchmarks\.", "A benchmark measures for minutes."),
    LeftOut(r"python -m tests\.soak\.", "A campaign takes up to hours; it has a short form among the slow tests."),
    LeftOut(
        r"python -m pipeline\.beam_workers\.pool\b",
        "A pool runs until SIGTERM or Ctrl-C; `tests/pipeline/test_worker_pools.py` starts two.",
    ),
)


def reasons(command: Command) -> list[LeftOut]:
    """Why a command is not run as it stands: the rows about it."""
    return [row for row in (*LEFT_OUT, *WITH_HELP) if row.matches(command)]


def is_command(code: str) -> bool:
    """Whether code within a line is a whole command, rather than a command's name or a part of one."""
    if "…" in code:
        return False
    try:
        words = command_of(code)
    except ValueError:  # a quotation mark alone: no shell reads it
        return False
    if words[:1] != ["wdr"]:
        return len(words) > 1 and words[0] in _PROGRAMS
    try:
        check_call(words[1:])
    except click.UsageError:
        return False
    return any(word.startswith("-") for word in words)


def commands(page: Path) -> list[Command]:
    """The commands and snippets of a page, in its order."""
    return [Command(name_of(page), language, code) for language, code in _codes(text_of(page))]


def _codes(text: str) -> Iterator[tuple[str, str]]:
    for match in _CODE.finditer(text):
        language, body, inline = match[3], match[4], match[5]
        if inline is not None:
            code = plain(" ".join(inline.split()))
            if is_command(code):
                yield "sh", code
        elif language == "sh":
            yield from (("sh", line) for line in map(plain, lines_of(body)) if line)
        elif language == "python":
            yield "python", re.sub(rf"^{match[1]}", "", body, flags=re.MULTILINE) + "\n"


def plain(line: str) -> str:
    """A line without its comment and without the environment's folder."""
    return _ENVIRONMENT.sub("", re.sub(r"(^|\s+)# .*$", "", line).strip())
