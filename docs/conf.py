"""Sphinx configuration: the pages are Markdown (MyST), the theme is furo; `make docs` builds them."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # autodoc and sphinx-click import the project's packages
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # an import of TensorFlow looks for no GPU

_METADATA = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = _METADATA["name"]
author = "The authors of wide-deep-ranker"
release = version = _METADATA["version"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinxcontrib.mermaid",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"{project} {release}"

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 4

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"  # the fields of `ClientSettings` are documented as attributes
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
napoleon_use_ivar = True

#: Names in signatures and `Raises:` sections whose own documentation is elsewhere, or is not part of the reference.
nitpick_ignore_regex = [
    (r"py:.*", r"(grpc|pydantic|annotated_types|pathlib|collections|types|typing)\..*"),
    (
        r"py:.*",
        r"(bytes|bool|float|int|str|object|None|OSError|ValueError|optional|Any|Annotated|Path|Field|FieldInfo)",
    ),
    (r"py:.*", r"(Ge|Gt|Le|Lt|MinLen|MaxLen)\b.*"),
    (r"py:.*", r"(transform\.errors\.)?(InputError|UserError)"),
    (r"py:.*", r"serving\.ranking_client\.(candidates|features|signatures)\..*"),
]

#: A link or an image: its text, its target and the target's anchor.
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")

#: Files outside of this folder that a page here includes whole: links to them lead to the page.
INCLUDED = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "deploy/airflow/README.md": "tutorials/airflow.md",
    "deploy/beam/README.md": "tutorials/beam.md",
    "deploy/kubeflow/README.md": "tutorials/kubeflow.md",
    "deploy/tf-serving/README.md": "tutorials/tf_serving.md",
    "serving/model_server/README.md": "reference/model_server.md",
}


def _page_for(target: Path, page_folder: Path) -> str:
    """The path of a link's target from a page: of the page that includes the target, where there is one."""
    page = INCLUDED.get(target.relative_to(ROOT).as_posix()) if target.is_relative_to(ROOT) else None
    return os.path.relpath(ROOT / "docs" / page if page else target, page_folder)


def _move_links(app: Sphinx, included: Path, parent: str, content: list[str]) -> None:
    """Makes an included file's relative links relative to the page that includes it.

    A link to a folder becomes its text: a page of the documentation can link to files only.

    Args:
      app: The application.
      included: The included file, relative to the folder of the pages.
      parent: The page's name without its folder, so that the environment's name is taken in its place.
      content: The file's text, the one entry of the list; it is replaced in place.
    """
    del parent
    folder = (Path(app.srcdir) / included).resolve().parent
    page_folder = (Path(app.srcdir) / app.env.docname).parent

    def moved(match: re.Match[str]) -> str:
        image, text, target, anchor = match.groups()
        path = Path(os.path.normpath(folder / target))
        if "://" in target or not path.exists():
            return match.group()
        return text if path.is_dir() else f"{image}[{text}]({_page_for(path, page_folder)}{anchor or ''})"

    content[0] = _LINK.sub(moved, content[0])


def setup(app: Sphinx) -> None:
    """Connects the handlers."""
    app.connect("include-read", _move_links)
    app.add_lexer("csv", TextLexer)
