"""Finds what the project's code uses of other packages' private parts, from the code's syntax trees.

Three kinds of private use show in the code:

- a name that is not part of a package's public API (`PUBLIC` says what that is), such as `tfx.utils.io_utils.X`;
- an attribute `x._name` that the file itself does not define, and a private name that a class takes over from a base
  class of another package;
- an entry of `sys.modules`, a shared library, or another package's attribute that is replaced.
"""

from __future__ import annotations

import ast
import dis
import functools
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGES = ("pipeline", "components", "transform", "trainer", "serving", "deploy", "benchmarks")

#: Documented in spite of the underscore: methods of named tuples, and `os._exit`.
DOCUMENTED = {"_replace", "_asdict", "_fields", "_make", "os._exit"}

_PRIVATE = re.compile(r"_(?!_)\w*")


class Use(NamedTuple):
    """A private use: the file, and the dotted name of what it uses."""

    place: str
    what: str


@functools.cache
def _nodes(tree: ast.AST) -> list[ast.AST]:
    return list(ast.walk(tree))


class _Site:
    """The installed packages' modules, read but not imported."""

    def __init__(self) -> None:
        found = importlib.util.find_spec("tfx")
        assert found is not None
        assert found.submodule_search_locations is not None
        self.folder = Path(found.submodule_search_locations[0]).parent

    @functools.cache  # noqa: B019 (one object in a process)
    def is_module(self, name: str) -> bool:
        path = self.folder.joinpath(*name.split("."))
        return path.is_dir() or path.with_name(f"{path.name}.py").is_file()

    @functools.cache  # noqa: B019 (one object in a process)
    def bindings(self, module: str) -> dict[str, str]:
        """The dotted names of what a module imports by `from … import`, by the name that it has there."""
        path = self.folder.joinpath(*module.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if not path.is_file():
            return {}
        tree = ast.parse(path.read_bytes())
        found: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    if alias.name == "*":
                        found |= {name: f"{node.module}.{name}" for name in self.names(node.module)}
                    else:
                        found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        return found

    def names(self, module: str) -> set[str]:
        """What `from module import *` takes: `__all__`, else all public names at the module's top level."""
        path = self.folder.joinpath(*module.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        tree = ast.parse(path.read_bytes())
        names: set[str] = set(self.bindings(module))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Assign):
                targets = {t.id for t in node.targets if isinstance(t, ast.Name)}
                if "__all__" in targets:
                    constants = [e.value for e in ast.walk(node.value) if isinstance(e, ast.Constant)]
                    return {name for name in constants if isinstance(name, str)}
                names |= targets
        return {name for name in names if not name.startswith("_")}

    @functools.cache  # noqa: B019 (one object in a process)
    def origin(self, name: str) -> str:
        """The dotted name under which something is defined, behind the packages that only import it."""
        seen = {name}
        while True:
            module, _, attribute = name.rpartition(".")
            behind = self.bindings(module).get(attribute) if module else None
            if behind is None or behind in seen:
                return name
            seen.add(behind)
            name = behind

    def exports(self, package: str, *subpackages: str) -> set[str]:
        """The origins of all that a package and some packages in it import: their public API."""
        return {
            self.origin(name)
            for module in (package, *(f"{package}.{sub}" for sub in subpackages))
            for name in self.bindings(module).values()
        }

    def packages_in(self, package: str) -> list[str]:
        """The packages and modules in a package, relative to it."""
        folder = self.folder.joinpath(*package.split("."))
        files = [path.relative_to(folder) for path in folder.rglob("*.py") if not path.stem.endswith("_test")]
        return sorted(
            {".".join(f.parts[:-1] if f.stem == "__init__" else (*f.parts[:-1], f.stem)) for f in files} - {""}
        )


SITE = _Site()


@functools.cache
def _api(package: str) -> set[str]:
    match package:
        case "tfx":
            return SITE.exports("tfx.v1", *SITE.packages_in("tfx.v1"))
        case "tensorflow_model_analysis":
            return SITE.exports(package, "evaluators", "extractors", "metrics", "sdk", "slicer", "utils") | {
                SITE.origin(f"{package}.{name}") for name in SITE.names(f"{package}.sdk")
            }
        case "tfx_bsl":
            return SITE.exports("tfx_bsl.public.tfxio", *SITE.packages_in("tfx_bsl.public.tfxio"))
        case "tensorflow_data_validation":
            return SITE.exports(package)
        case "tensorflow_transform":
            return SITE.exports(package, "coders", "experimental", "beam")
        case _:
            raise KeyError(package)


def _by_exports(name: str) -> bool:
    return SITE.origin(name) in _api(name.split(".")[0])


def _outside(*modules: str) -> Callable[[str], bool]:
    return lambda name: not any(f"{name}.".startswith(f"{module}.") for module in modules)


#: Protos of TensorFlow that its guarantee of compatibility names, or that have a public name in `tf.train` and
#: `tf.compat.v1`. The model server imports them without TensorFlow, so by the modules that define them.
#: Source: https://www.tensorflow.org/guide/versions#what_is_covered
_PROTOS = (
    "tensorflow.core.example.example_pb2.",
    "tensorflow.core.example.feature_pb2.",
    "tensorflow.core.framework.node_def_pb2.",
    "tensorflow.core.framework.tensor_pb2.",
    "tensorflow.core.framework.tensor_shape_pb2.",
    "tensorflow.core.framework.types_pb2.",
    "tensorflow.core.protobuf.config_pb2.",
    "tensorflow.core.protobuf.meta_graph_pb2.",
)

#: By package: whether a name in it is part of its public API. In all others a private name begins with an underscore.
PUBLIC: dict[str, Callable[[str], bool]] = {
    "tfx": _by_exports,  # what `tfx.v1` exports
    "tensorflow_model_analysis": _by_exports,
    "tensorflow_data_validation": _by_exports,
    "tensorflow_transform": _by_exports,
    "tensorflow": lambda name: name.startswith(_PROTOS) or _outside("tensorflow.core", "tensorflow.python")(name),
    "keras_tuner": _outside("keras_tuner.src"),
    "tfx_bsl": _by_exports,
    "uvicorn": lambda name: name.count(".") < 2,  # its modules are not documented
}


def is_public(name: str) -> bool:
    """Whether a dotted name is part of its package's public API."""
    if any(_PRIVATE.fullmatch(part) for part in name.split(".")):
        return False
    rule = PUBLIC.get(name.split(".")[0])
    return name in PUBLIC or rule is None or rule(name)


def _imports(tree: ast.AST) -> dict[str, str]:
    """The dotted names of what a file imports, by the name that it has in the file."""
    found: dict[str, str] = {}
    for node in _nodes(tree):
        if isinstance(node, ast.Import):
            found |= {
                a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0] for a in node.names
            }
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return {name: dotted for name, dotted in found.items() if not _is_ours(dotted)}


def _is_ours(dotted: str) -> bool:
    return dotted.split(".")[0] in PACKAGES


def _is_of_python(dotted: str) -> bool:
    return dotted.split(".")[0] in sys.stdlib_module_names


def _chain(node: ast.expr, imports: dict[str, str]) -> str | None:
    """The dotted name of `a.b.c`, where `a` is imported."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    return ".".join([imports[node.id], *parts]) if isinstance(node, ast.Name) and node.id in imports else None


def _in_module(dotted: str) -> str:
    """Cuts a dotted name behind the first part that is no module: `tfx.types.Channel` of `tfx.types.Channel.type`."""
    parts = dotted.split(".")
    for number in range(1, len(parts) + 1):
        if not SITE.is_module(".".join(parts[:number])):
            return ".".join(parts[:number])
    return dotted


def _defined(tree: ast.AST) -> set[str]:
    """The private names that a file defines."""
    found: set[str] = set()
    for node in _nodes(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                found.add(name)
    return found


def _attributes(tree: ast.AST, imports: dict[str, str]) -> Iterator[str]:
    """What a file reads or sets of others, by the syntax alone."""
    defined = _defined(tree)
    inner = {id(node.value) for node in _nodes(tree) if isinstance(node, ast.Attribute)}
    for node in _nodes(tree):
        match node:
            case ast.Attribute(attr=name):
                chain = _chain(node, imports)
                if chain is not None and chain in DOCUMENTED:
                    continue
                if _PRIVATE.fullmatch(name) and name not in defined | DOCUMENTED:
                    yield _in_module(chain) if chain else f".{name}"
                elif chain == "ctypes.CDLL":
                    yield chain
                elif chain is not None and not _is_of_python(chain):
                    if isinstance(node.ctx, ast.Store | ast.Del):
                        yield f"{chain} ="
                    elif id(node) not in inner and not is_public(_in_module(chain)):
                        yield _in_module(chain)
            case ast.Subscript(value=value, ctx=ast.Store() | ast.Del()) if _chain(value, imports) == "sys.modules":
                yield "sys.modules ="
            case ast.Call(func=ast.Name(id="getattr" | "setattr" | "delattr" as function), args=[target, named, *_]):
                private = named.value if isinstance(named, ast.Constant) else None
                if isinstance(private, str) and _PRIVATE.fullmatch(private) and private not in defined:
                    yield f".{private}"
                chain = _chain(target, imports)
                if function != "getattr" and chain is not None:
                    yield f"{chain} ="


def _imported(tree: ast.AST) -> Iterator[str]:
    """The names that a file imports and that are not public; a module counts by what is used of it."""
    for node in _nodes(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if not _is_ours(name) and not is_public(name) and (not SITE.is_module(name) or _has_private_part(name)):
                yield name


def _has_private_part(name: str) -> bool:
    return any(_PRIVATE.fullmatch(part) for part in name.split("."))


def _bases(tree: ast.AST, imports: dict[str, str]) -> Iterator[tuple[ast.ClassDef, type]]:
    """Each class of a file with each of its bases that is a class of another package.

    The bases of the DAG file are left out: Airflow is not installed beside TFX.
    """
    classes = {node.name: node for node in _nodes(tree) if isinstance(node, ast.ClassDef)}
    for node in classes.values():
        waiting = list(node.bases)
        while waiting:
            base = waiting.pop()
            if isinstance(base, ast.Name) and base.id in classes:
                waiting += classes[base.id].bases
                continue
            chain = _chain(base, imports)
            if chain is not None and not _is_of_python(chain):
                module, _, name = chain.rpartition(".")
                if chain.startswith("airflow."):
                    continue
                found = getattr(importlib.import_module(module), name)
                if isinstance(found, type):
                    yield node, found


@functools.cache
def _private_of(base: type) -> frozenset[str]:
    """The private names of a class of another package, and those that its methods set."""
    return frozenset().union(*(_own_private(cls) for cls in base.__mro__ if not _is_of_python(cls.__module__)))


@functools.cache
def _own_private(cls: type) -> frozenset[str]:
    found = {name for name in vars(cls) if _PRIVATE.fullmatch(name) and not name.startswith("_abc_")}
    for method in vars(cls).values():
        code = getattr(method, "__code__", None)
        if code is not None and "self" in code.co_varnames[:1]:
            found |= {
                step.argval
                for step in dis.get_instructions(code)
                if step.opname == "STORE_ATTR" and _PRIVATE.fullmatch(step.argval)
            }
    return frozenset(found)


def _taken_over(tree: ast.AST, imports: dict[str, str]) -> Iterator[str]:
    """The private names of base classes of other packages that a file's classes define again or set."""
    for node, base in _bases(tree, imports):
        own = {name for name in _defined(node) if _PRIVATE.fullmatch(name)}
        yield from (f".{name}" for name in own & _private_of(base))


def uses_in(source: str, place: str) -> set[Use]:
    """The private uses in a file's text."""
    tree = ast.parse(source)
    imports = _imports(tree)
    found = {*_attributes(tree, imports), *_imported(tree), *_taken_over(tree, imports)}
    return {Use(place, what) for what in found}


def uses() -> set[Use]:
    """The private uses in all of the project's code."""
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return set().union(*(uses_in(f.read_text(encoding="utf-8"), f.relative_to(ROOT).as_posix()) for f in files))
