"""Renders pages: the templates, and the scripts that a page contains so that it needs no network."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jinja2
import vl_convert

from pipeline.report.page.parts import Block, Facts, Figure, Fold, Note, Section, Table, cut

#: A longer word may be broken anywhere, so that it does not make its table wider.
_LONG_WORD = 40

_TEMPLATES = resources.files("pipeline.report.page") / "templates"


def render_page(
    template: str, cache: Path, values: Mapping[str, Any], figures: Iterable[Figure], script: str = ""
) -> str:
    """Returns a page.

    Args:
      template: The file in `templates/`.
      cache: The folder in which the charts' script is kept for later pages.
      values: What the template uses; every text in it is escaped.
      figures: The figures, in the order in which the template shows them.
      script: The file in `templates/` of a further script; empty without one.
    """
    specs = [figure.spec for figure in figures]
    scripts = [chart_script(cache), _text("page.js")] if specs else []
    scripts += [_text(script)] if script else []
    policy = " ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'"
    page = _environment().get_template(template)
    return page.render(**values, style=_text("style.css"), scripts=scripts, script_policy=policy, specs=specs)


def chart_script(cache: Path) -> str:
    """Returns the script that draws Vega-Lite charts, of vl-convert's own files.

    Making it takes two seconds, so it is kept, under a name with vl-convert's version. A kept one that is not whole is
    made again.
    """
    file = cache / f"vega-embed-{metadata.version('vl-convert-python')}.js"
    if file.exists():
        text, _, digest = file.read_text(encoding="utf-8").rpartition("\n// sha256 ")
        if digest == _digest(text):
            return text
    text = _bundle()
    cache.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}.part")
    part.write_text(f"{text}\n// sha256 {_digest(text)}", encoding="utf-8")
    part.replace(file)
    return text


@functools.cache
def _bundle() -> str:
    made: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return made.replace("</script", "<\\/script")  # in a string of the script, it would end the page's script


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


@functools.cache
def _environment() -> jinja2.Environment:
    loader = jinja2.FunctionLoader(_text)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cut"] = cut
    environment.tests["unbroken"] = lambda text: any(len(word) > _LONG_WORD for word in text.split())
    environment.tests["note"] = lambda block: isinstance(block, Note)
    environment.tests["facts"] = lambda block: isinstance(block, Facts)
    environment.tests["table"] = lambda block: isinstance(block, Table)
    environment.tests["fold"] = lambda block: isinstance(block, Fold)
    return environment


def collect_figures(sections: Iterable[Section]) -> list[Figure]:
    """Returns the figures of sections, also those in folds, in their order."""
    return [figure for section in sections for block in section.blocks for figure in _figures(block)]


def _figures(block: Block) -> Iterator[Figure]:
    if isinstance(block, Fold):
        for inner in block.blocks:
            yield from _figures(inner)
    elif isinstance(block, Figure):
        yield block
