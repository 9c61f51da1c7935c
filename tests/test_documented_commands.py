"""Each command and Python snippet of the pages is run, or is in a table with the reason why not."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapted_commands import EXPECTED, SUBSTITUTIONS, Substitution, expected, substituted
from tests.documented_commands import LEFT_OUT, WITH_HELP, Command, LeftOut, commands, is_command, reasons
from tests.documented_outputs import outputs_of, shape_of
from tests.documented_runs import Reader, copy_checkout
from tests.e2e import earlier_workspace, store
from tests.pages import FENCE, PAGES, ROOT, name_of, text_of

ARCHIVE = store.ROOT / "tests" / "e2e" / "workspace-of-0.2.tar.xz"

#: The outputs of `rank` that the archive's models do not have.
NOT_OF_ARCHIVE = re.compile(r'"(unknown_context|catalog_digest)": \["\w*"\], ')

BY_PAGE = {page: commands(page) for page in PAGES}
ALL = [command for found in BY_PAGE.values() for command in found]

#: The project's modules with a command line; all pages' are run together, by `tests/module_commands.py`.
_MODULE = re.compile(r"python -m (?:benchmarks|pipeline|tests)\.")


def is_run_by_page(command: Command) -> bool:
    return not reasons(command) and _MODULE.match(command.text) is None


PAGES_TO_RUN = [page for page, found in BY_PAGE.items() if any(map(is_run_by_page, found))]


def test_shell_blocks_are_marked_as_such() -> None:
    """A block in another language would not be found."""
    languages = {block[2] for page in PAGES for block in FENCE.findall(text_of(page))}
    known = {"sh", "python", "yaml", "text", "csv", "mermaid"}
    assert {language for language in languages if not language.startswith("{")} == known


@pytest.mark.parametrize("row", [*LEFT_OUT, *WITH_HELP], ids=lambda row: row.pattern)
def test_each_row_is_about_a_command(row: LeftOut) -> None:
    assert [command.text for command in ALL if row in reasons(command)] != []


def test_files_that_a_row_names_exist() -> None:
    named = {path for row in (*LEFT_OUT, *WITH_HELP) for path in re.findall(r"`(tests/\S+)`", row.reason)}
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_a_command_is_in_one_row_at_most() -> None:
    assert [command for command in ALL if len(reasons(command)) > 1] == []


@pytest.mark.parametrize("row", SUBSTITUTIONS, ids=lambda row: f"{row.commands}{row.old}")
def test_each_substitution_changes_a_command(row: Substitution) -> None:
    texts = [command.text for command in ALL if not reasons(command)]
    assert [text for text in texts if re.match(row.commands, text) and re.search(row.old, text)] != []


def test_each_command_that_is_run_has_an_expectation_and_each_expectation_a_command() -> None:
    run = [command for command in ALL if is_run_by_page(command)]
    assert {expected(command) for command in run} == set(EXPECTED)


@pytest.mark.parametrize("text", ["helm install wdr", "wdr models prune --workspace W"])
def test_a_command_that_no_table_has_is_found(text: str) -> None:
    command = Command("page.md", "sh", text)
    assert reasons(command) == []
    with pytest.raises(
        LookupError, match=f"^a command must have a row in EXPECTED, or in LEFT_OUT. Received: .*{text}"
    ):
        expected(command)


@pytest.mark.parametrize(
    ("code", "whole"),
    [
        ("wdr models list", False),
        ("wdr models list --workspace W", True),
        ("wdr run --accept-span --reason TEXT", False),
        ("wdr --debug run …", False),
        ("wdr serve", False),
        ("python -m benchmarks.counts", True),
        ("make", False),
        ("make docs", True),
        ("num_kept_versions", False),
    ],
)
def test_what_is_a_command_within_a_line(code: str, whole: bool) -> None:
    assert is_command(code) is whole


def test_commands_are_found_in_the_order_of_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    text = "# A\n\nRun `make docs`, not `wdr serve`.\n\n  ```sh\n  a 1 \\\n    2  # why\n  .venv/bin/b\n  ```\n\n"
    page.write_text(f"{text}```python\nprint(1)\n```\n\n```yaml\na: 1\n```\n", encoding="utf-8")
    monkeypatch.setattr("tests.pages.ROOT", tmp_path)
    found = [(command.language, command.text) for command in commands(page)]
    assert found == [("sh", "make docs"), ("sh", "a 1 2"), ("sh", "b"), ("python", "print(1)\n")]


def test_files_that_commands_name_exist() -> None:
    """Those of commands that are not run, too, such as the tests that a recipe runs."""
    named = [word for command in ALL if command.language == "sh" for word in command.words if word.startswith("tests/")]
    assert named != []
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    earlier = tmp_path_factory.mktemp("earlier")
    earlier_workspace.restore(ARCHIVE, earlier)
    with contextlib.ExitStack() as servers:
        yield Reader(tmp_path_factory.mktemp("pages"), earlier, servers)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES_TO_RUN, ids=name_of)
def test_the_commands_of_a_page_run(page: Path, reader: Reader) -> None:
    with contextlib.chdir(reader.checkout(page)):
        for command in filter(is_run_by_page, BY_PAGE[page]):
            if substituted(command.text) not in reader.has_run:
                ran, wanted = reader.run(command), expected(command)
                print(f"$ {ran.line}\n{ran.printed}{ran.errors}")  # pytest shows it where an assertion fails
                assert ran.code == wanted.code
                assert re.search(wanted.printed, ran.printed + ran.errors, re.MULTILINE)
                if shown := outputs_of(text_of(page)).get(command.text):
                    of_archive = NOT_OF_ARCHIVE.sub("", shown.replace("app_store", store.NAME))
                    assert shape_of(of_archive) == shape_of(ran.printed)


def test_the_output_after_a_command_is_found_and_compared_without_its_numbers() -> None:
    blocks = (
        "```sh\nc\n```",
        "```sh\n.venv/bin/a 1\nb  # why\n```",
        "```text\nsome 1.5e-3 of app_2\n```",
        "```sh\nd\n```",
    )
    page = "\n\n".join(blocks) + "\nand\n```text\ne\n```\n"
    assert outputs_of(page) == {"b": "some 1.5e-3 of app_2"}
    assert outputs_of("```python\nprint(1)\n```\n\n```text\n1\n```\n") == {"print(1)\n": "1"}
    assert shape_of("some 1.5e-3 of app_2\n\n") == shape_of(" some  -12,3 of app_77") == [["some", "#", "of", "app_#"]]
    assert shape_of("some 1") != shape_of("some one")


def test_readme_shows_the_output_of_each_way_to_rank() -> None:
    shown = outputs_of(text_of(ROOT / "README.md"))
    assert [command.split()[0] for command in shown] == ["wdr", "curl", "from"]


def test_the_first_run_s_page_names_the_columns_of_models_list() -> None:
    text = " ".join(text_of(ROOT / "docs" / "tutorials" / "first_run.md").split())
    columns = re.findall(r"`(\w+)`", text.partition("with the columns ")[2].partition(". ")[0])
    (row,) = [row for row in EXPECTED if row.commands == "wdr models list "]
    assert row.printed == "^" + " +".join(columns) + "$"


@pytest.mark.slow
def test_the_project_s_modules_take_their_documented_arguments(tmp_path: Path) -> None:
    """With `--help`, benchmarks and campaigns end before they begin. What others write is what the checkout has."""
    copy_checkout(tmp_path / "checkout")
    found = {command.text: [row for row in WITH_HELP if row.matches(command)] for command in ALL}
    calls = [[*text.split()[2:], *(["--help"] if rows else [])] for text, rows in found.items() if _MODULE.match(text)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.module_commands"],
        cwd=tmp_path / "checkout",
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    for words, (code, printed) in zip(calls, json.loads(done.stdout.splitlines()[-1]), strict=True):
        assert code == 0, f"{words}: {printed}"
        options = {word for word in words if word.startswith("--")} - {"--write"}
        assert options <= set(re.findall(r"--[a-z-]+", printed)), f"{words}: {printed}"
    written = [ROOT / "configs" / "schema.json", *(path for path in (ROOT / "docs" / "reference").rglob("*.*"))]
    assert [p for p in written if (tmp_path / "checkout" / p.relative_to(ROOT)).read_bytes() != p.read_bytes()] == []
