"""How the pages' commands are adapted to the place where the tests run them, and what they must print."""

from __future__ import annotations

import dataclasses
import re

from tests.documented_commands import Command
from tests.e2e import store


@dataclasses.dataclass(frozen=True)
class Substitution:
    """What stands for a part of a command where the tests run it.

    Attributes:
      commands: Matches the commands in which it holds.
      old: A regular expression; each match is replaced.
      new: The replacement.
      reason: Why the command does not run as it stands.
    """

    commands: str
    old: str
    new: str
    reason: str


_STORE = "The workspace is the small store's."
_BUSY = "A busy machine must not fail the test."
_LARGE = "A whole day's impressions take seconds, and no later command depends on their number."

SUBSTITUTIONS = (
    Substitution(r"", r"(serving/|--model |models/|model=\")app_store\b", rf"\g<1>{store.NAME}", _STORE),
    Substitution(r"wdr gates |wdr compile .* local ", r"configs/app_store\.yaml", "tests/e2e/small_store.yaml", _STORE),
    Substitution(r"WDR_DATA=", r"WDR_SPAN=3", "WDR_SPAN=9",
                 "A process for each node takes two minutes; without logs the script ends with its first node."),
    Substitution(r"wdr simulate ", r"runs/data", "runs/simulated", "The checkout has data already."),
    Substitution(r"wdr simulate (?!.*--impressions-per-day)", r"$", " --impressions-per-day 3000", _LARGE),
    Substitution(r"wdr simulate .*--impressions-per-day", r"(?<=--impressions-per-day )\d+", "3000", _LARGE),
    Substitution(r"wdr models tf-serving ", r"\b41\b", "3", "The workspace has the versions 1 to 4."),
    Substitution(r"wdr models tf-serving ", r"\b42\b", "4", "The workspace has the versions 1 to 4."),
    Substitution(r"wdr rank ", r', "hour": 20', "", "The small store has no feature `hour`, which is an error."),
    Substitution(r"wdr rank ", r"$", " --deadline-seconds 20", _BUSY),
    Substitution(r"from (serving|wide_deep)", r"deadline_seconds=0\.1", "deadline_seconds=20.0", _BUSY),
    Substitution(r"from wide_deep", r"wide_deep_ranker_client", "serving.ranking_client",
                 "It is for other environments; `tests/serving/ranking_client/test_client_wheel.py` ranks in one."),
    Substitution(r"wdr load-test ", r"--seconds 60", "--seconds 0.5 --deadline-seconds 20", "It takes a minute."),
    Substitution(r"wdr tune-client ", r"$", " --repetitions 3 --deadline-seconds 20", "It sends 800 requests."),
)  # fmt: skip


def substituted(text: str) -> str:
    """A command or snippet in which the substitutions that hold for it are made."""
    original = text
    for each in SUBSTITUTIONS:
        if re.match(each.commands, original):
            text = re.sub(each.old, each.new, text)
    return text


@dataclasses.dataclass(frozen=True)
class Expected:
    """How commands must end.

    Attributes:
      commands: Matches them.
      printed: A regular expression that their output must contain.
      code: Their exit code.
    """

    commands: str
    printed: str
    code: int = 0


#: A command is checked by the first row that matches it.
EXPECTED = (
    Expected(r"wdr simulate ", r"^day 1: [\d,]+ impressions, [\d,]+ installs$"),
    Expected(r"wdr (check|models|gc) .*--json$", r"^  \"schema_version\": 1$"),
    Expected(r"wdr check .*--effective$", r"^name: \w+$"),
    Expected(r"wdr check .*--data ", r"^\S+ is valid; span \d+$"),
    Expected(r"wdr check .*--workspace ", r"^workspace: .* agree: [\d,]+ artifacts, \d+ versions$"),
    Expected(r"wdr run-node ", r"^data_gate: \d+\.\d s$"),
    Expected(r"WDR_DATA=.*/run.sh", r"^span 9 is skipped; .*no impressions for span 9", code=99),
    Expected(r"wdr compile ", r"^\d+ nodes of \w+( in \d+ tasks)? for (local|airflow|kubeflow): \S+$"),
    Expected(r"wdr gc ", r"^[\d,.]+ MB would be free$"),
    Expected(r"wdr score ", r"^[\d,]+ rows scored \(runs/scores\.csv\)$"),
    Expected(r"wdr models list ", r"^model +version +spans +serves +pinned +pushed +note +where$"),
    Expected(r"wdr models show ", r"^ +impressions +[\d,]+ rows read, [\d,]+ rejected$"),
    Expected(r"wdr models diff 2 3 ", r"^what +version 2 +version 3$"),
    Expected(r"wdr models history ", r"^span +to +examples +metric"),
    Expected(r"wdr models rollback ", r"^version \d serves \("),
    Expected(r"wdr models pin 3 ", r"^version 3 is pinned \("),
    Expected(r"wdr models unpin 3 ", r"^version 3 is no longer pinned \("),
    Expected(r"wdr models tf-serving ", r"^small_store: versions \[.*\] are loaded; "),
    Expected(r"wdr report ", r"^\S+/reports/\S+\.html"),
    Expected(r"wdr gates replay ", r"^span +gate +was +would be +because$"),
    Expected(r"wdr explain ", r"row \d+: score 0\.\d+"),
    Expected(r"wdr rank ", r"small_store, version 4"),
    Expected(r"wdr load-test ", r"\d requests/s for "),
    Expected(r"wdr tune-client ", r"^chosen: .* \(client\.json\)$"),
    Expected(r"wdr (serve|rank-service) ", r"^answers$"),
    Expected(r"mkdir (serving|shown)-log ", r"^$"),
    Expected(r"python deploy/client/build.py", r"^\S*dist/wide_deep_ranker_client-\S+\.whl$"),
    Expected(r"from (serving|wide_deep)", r"^4 com\.store\.app[23] 0\.\d+$"),
    Expected(r"curl -d ", r'"outputs": ?\{'),
    Expected(r"curl SERVER:8501/", r'"state": "AVAILABLE"'),
    Expected(r"diff ", r"^> +installs:$", code=1),
    Expected(r"grep -l ", r'\A(\S+\.json:  "(span|skipped_by|reason)": .+\n){3}\Z'),
    Expected(r"pre-commit install", r"^pre-commit installed at \.git/hooks/pre-commit$"),
    Expected(r"python -c ", r"/configs$"),
)  # fmt: skip


def expected(command: Command) -> Expected:
    """How a command must end; raises LookupError if no row says so."""
    for row in EXPECTED:
        if re.match(row.commands, command.text):
            return row
    raise LookupError(f"a command must have a row in EXPECTED, or in LEFT_OUT. Received: {command}")
