"""The documents: they build without a warning, their links lead somewhere, and their command lines are valid."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from pipeline.cli.main import cli
from tests.command_lines import check_call, command_of
from tests.pages import DOCS, FENCE, PAGES, ROOT, SITE, name_of, shell_lines, text_of

_INCLUDE = re.compile(r"^```\{include\} (\S+)\n(.*?)```$", re.MULTILINE | re.DOTALL)


def without_code(text: str) -> str:
    """A page's text without its fenced blocks and its inline code."""
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "code", FENCE.sub("", text), flags=re.DOTALL)


def with_includes(page: Path) -> str:
    """A page's text, its `include` directives replaced by the parts of the files that they take."""

    def included(match: re.Match[str]) -> str:
        options = dict(re.findall(r'^:([a-z-]+): "?(.*?)"?$', match[2], re.MULTILINE))
        text = text_of((page.parent / match[1]).resolve())
        assert set(options) <= {"start-line", "start-after", "end-before"}
        text = "\n".join(text.splitlines()[int(options.get("start-line", 0)) :])
        for option, place in (("start-after", 1), ("end-before", 0)):
            if option in options:
                mark = options[option].removesuffix("\\n")
                assert mark in text, f"{name_of(page)} includes {match[1]} by a mark that it does not have: {mark!r}"
                text = text.split(mark, 1)[place]
        return text

    return _INCLUDE.sub(included, text_of(page))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#{1,6} (.+)$", FENCE.sub("", with_includes(page)), re.MULTILINE)
    plain = [re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading).replace("`", "") for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in plain}


def links(text: str) -> list[str]:
    """The targets of a page's links within the project."""
    targets = re.findall(r"\]\(\s*([^)\s]+)\s*\)", FENCE.sub("", text))
    targets += re.findall(r"^\[[^\]]+\]: (\S+)$", text, re.MULTILINE)
    return [target for target in targets if "://" not in target]


def broken(page: Path) -> list[str]:
    """Those of a page's links that lead to no file, or to no heading of one."""
    found = []
    for link in links(text_of(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html"]
    built = subprocess.run(
        [*command, "-d", str(tmp_path / "doctrees"), str(DOCS), str(tmp_path / "html")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert built.returncode == 0, built.stderr
    pages = {path.relative_to(tmp_path / "html").with_suffix("") for path in (tmp_path / "html").rglob("*.html")}
    assert {path.relative_to(DOCS).with_suffix("") for path in SITE} <= pages
    shown = (tmp_path / "html" / "reference" / "cli.html").read_text(encoding="utf-8")
    assert "--accept-span" in shown  # the options come from the commands themselves
    assert 'class="mermaid"' in (tmp_path / "html" / "explanation" / "architecture.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    other.write_text("# The `rank` signature\n", encoding="utf-8")
    good = "[a](other.md) [b](other.md#the-rank-signature) [c](#title) [d](https://example.org/x)"
    bad = "[e](none.md) [f](other.md#none) [g](#none)\n\n```text\n[h](none.md)\n```\n"
    page.write_text(f"# Title\n\n{good} {bad}", encoding="utf-8")
    assert broken(page) == ["none.md", "other.md#none", "#none"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_command_lines_are_valid(page: Path) -> None:
    for line in shell_lines(text_of(page)):
        words = command_of(line)
        try:
            if words[:1] == ["wdr"]:
                check_call(words[1:])
        except click.UsageError as error:
            pytest.fail(f"{line}: {error.format_message()}")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("wdr rum configs/app_store.yaml", "No such command 'rum'"),
        ("wdr models rollback --workspace W", "Missing option '--reason'"),
        ("wdr run C --data D --workspace W --spam 3", "No such option '--spam'"),
        ("wdr run C --data D --workspace W --span x", "'x' is not a valid integer"),
        ("wdr check a b --data D", "too many arguments"),
        ("wdr models", "a command is missing"),
    ],
)
def test_a_wrong_command_line_is_found(line: str, message: str) -> None:
    with pytest.raises(click.UsageError) as found:
        check_call(command_of(line)[1:])
    assert message in found.value.format_message()


def test_a_right_command_line_is_found_right() -> None:
    check_call(command_of('WDR_X=1 .venv/bin/wdr models pin 3 --workspace W --reason "an audit"  # a comment')[1:])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_in_the_text_exist(page: Path) -> None:
    """Also where no whole command line is given, as in `wdr run --accept-span --reason TEXT`."""
    for code in re.findall(r"`(wdr [^`]+)`", FENCE.sub("", text_of(page))):
        words = [word for word in code.split() if word not in ("…", "COMMAND")][1:]
        command: click.Command = cli
        while isinstance(command, click.Group) and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        options = {option for parameter in [*cli.params, *command.params] for option in parameter.opts}
        used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert used - options - {"--help"} == set(), code


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_make_targets_and_modules_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", text_of(ROOT / "Makefile"), re.MULTILINE))
    code = "\n".join([*shell_lines(text_of(page)), *re.findall(r"`([^`\n]+)`", FENCE.sub("", text_of(page)))])
    used = {
        name
        for names in re.findall(r"^(?:PYTHON=\S+ )?make((?: [a-z-]+)+)", code, re.MULTILINE)
        for name in names.split()
    }
    assert used - targets == set()
    modules = set(re.findall(r"python -m ((?:benchmarks|pipeline|serving|tests)[\w.]*)", text_of(page)))
    assert [name for name in sorted(modules) if importlib.util.find_spec(name) is None] == []


def starts_with_a_sentence(text: str) -> bool:
    """Whether a page starts with a title and a sentence that names its subject.

    It has four words at least, so that it is no label such as `Status:`.
    """
    title, paragraph = text.split("\n\n")[:2]
    first = re.split(r"(?<=[.:])\s", paragraph)[0]
    is_sentence = re.match(r"[A-Z`\[]|[a-z-]+ is ", first) and re.search(r"[.:]$", first) and len(first.split()) >= 4
    has_subject = not re.match(r"(Both|Here|It|Its|That|There|These|They|Those)\b", first)  # a subject named elsewhere
    return bool(re.fullmatch(r"# \S.*", title) and is_sentence and has_subject)


@pytest.mark.parametrize("page", [page for page in PAGES if ".github" not in page.parts], ids=name_of)
def test_a_page_starts_with_a_title_and_a_sentence(page: Path) -> None:
    assert starts_with_a_sentence(text_of(page))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Title\n\nThis page has a sentence.\n\nMore.", True),
        ("# Title\n\n`wdr run` runs one span: the latest.\n\nMore.", True),
        ("# Title\n\nStatus: accepted. The rest is a sentence.\n\nMore.", False),
        ("# Title\n\nBoth have been published by others.\n\nMore.", False),
        ("# Title\n\n## Heading\n\nThis page has a sentence.", False),
        ("# Title\n\n| a | b |\n| --- | --- |\n\nMore.", False),
        ("Title\n\nThis page has a sentence.\n\nMore.", False),
    ],
)
def test_a_page_without_a_sentence_is_found(text: str, expected: bool) -> None:
    assert starts_with_a_sentence(text) is expected


@pytest.mark.parametrize("page", SITE, ids=name_of)
def test_paths_in_the_pages_exist(page: Path) -> None:
    """Code such as `trainer/wide_deep/model.py` names a file of the project."""
    folders = "benchmarks|components|configs|deploy|docs|pipeline|serving|tests|trainer|transform"
    named = re.findall(rf"`((?:{folders})/[\w./-]*)`", FENCE.sub("", text_of(page)))
    made_by_runs = re.compile(r"serving/(app_store|NAME)/.*")
    assert [path for path in named if not (ROOT / path).exists() and not made_by_runs.fullmatch(path)] == []


def test_readme_is_short_and_leads_into_the_documentation() -> None:
    readme = text_of(ROOT / "README.md")
    assert len(readme.splitlines()) <= 150
    assert len([link for link in links(readme) if link.startswith("docs/")]) >= 5


def test_the_changelog_s_newest_release_is_the_project_s_version() -> None:
    headings = re.findall(r"^## (.+)$", text_of(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    releases = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}", heading) for heading in headings[1:]]
    version = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["version"]
    assert None not in releases
    assert releases[0] is not None
    assert releases[0][1] == version


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {
        (page.parent / entry).resolve().with_suffix(".md")
        for page in SITE
        for body in re.findall(r"```\{toctree\}\n(.*?)```", text_of(page), re.DOTALL)
        for entry in body.split()
        if re.fullmatch(r"[a-z0-9_/]+", entry) and (page.parent / f"{entry}.md").exists()
    }
    assert {page.resolve() for page in SITE} - listed == {(DOCS / "index.md").resolve()}
