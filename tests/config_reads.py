"""Which config keys the sources read: found by following types through their syntax trees.

Enough of a type checker for code that is typed throughout: names have the sections their
annotations mention, attributes lead from section to section, functions return what they say.
Containers are looked through. What it misses, it misses on the safe side: a key that is read
only by its spelling in the file has to be named in `RAW`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from engine.config.docs import inside
from engine.config.keypath import join
from engine.config.schema import Config

ROOT: Final = Path(__file__).parents[1]
# Read before there is a Config, by their spelling in the file.
RAW: Final[Mapping[str, tuple[str, ...]]] = {
    "meta": ("engine/config/writing.py",),
    "env": ("engine/config/shell_env.py", "engine/config/load.py", "engine/config/walk.py"),
    "secrets": (
        "engine/config/providers/__init__.py",
        "engine/config/providers/file.py",
        "engine/config/providers/program.py",
    ),
    "security": ("engine/security/report.py",),
    "gateway.remote": ("engine/config/fast.py", "engine/cli/place.py", "engine/cli/ask.py"),
    "cron.jobsDir": ("engine/config/jobs_dir.py",),
}
_JUDGES: Final = ("engine/config/checks", "engine/config/docs.py")  # reading is not using
_THROUGH: Final = frozenset({"items", "values", "get", "model_copy"})
_WORD: Final = re.compile(r"\w+")

Names = frozenset[str]  # of sections
NONE: Final[Names] = frozenset()


def keys(model: type[BaseModel] = Config, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Return every typed key: its path, its section and its name there."""
    for name, info in model.model_fields.items():
        here = join(path, info.alias or name)
        yield here, model.__name__, name
        inner, tail = inside(info)
        if inner is not None:
            yield from keys(inner, here + tail)


@cache
def reads() -> frozenset[tuple[str, str]]:
    """Return the section and name of every key that some source reads."""
    found: set[tuple[str, str]] = set()
    world = _World()
    for path, tree in world.trees.items():
        if not path.startswith(_JUDGES):
            _Reader(world, world.known[path], found).visit(tree)
    return frozenset(found)


@cache
def raw_reads(path: str) -> bool:
    """Tell whether a key is read by its spelling, where such reading is expected."""
    name = path.rpartition(".")[2].removesuffix("[]")
    return any(
        re.search(rf"[\"'.]{name}\b", (ROOT / source).read_text("utf-8")) is not None
        for top, sources in RAW.items()
        if f"{path}.".startswith(f"{top}.")
        for source in sources
    )


@cache
def _sections() -> dict[str, type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {}

    def walk(model: type[BaseModel]) -> None:
        for one in model.__mro__:
            if issubclass(one, BaseModel) and one is not BaseModel:
                found[one.__name__] = one
        for info in model.model_fields.values():
            inner, _ = inside(info)
            if inner is not None and inner.__name__ not in found:
                walk(inner)

    walk(Config)
    return found


class _World:
    """All sources, and what their annotations say about sections."""

    def __init__(self) -> None:
        texts = {
            str(path.relative_to(ROOT)): path.read_text("utf-8")
            for floor in ("engine", "gateway")  # the ground floor knows no config
            for path in (ROOT / floor).rglob("*.py")
        }
        self.trees = {path: ast.parse(text) for path, text in texts.items()}
        self.known = {
            path: _imported(tree)
            if "config.schema" in texts[path] and not _is_schema(path)
            else _own(path)
            for path, tree in self.trees.items()
        }
        self.returns: dict[str, set[str]] = {}
        self.attributes: dict[str, set[str]] = {}
        for path, known in self.known.items():
            for node in ast.walk(self.trees[path]) if known else ():
                self._note(node, known)

    def _note(self, node: ast.AST, known: Mapping[str, str]) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.returns.setdefault(node.name, set()).update(mentioned(node.returns, known))
                if node.name == "__init__":
                    self._kept(node, known)
            case ast.AnnAssign(target=ast.Name(id=name) | ast.Attribute(attr=name)):
                self.attributes.setdefault(name, set()).update(mentioned(node.annotation, known))
            case _:
                pass

    def _kept(self, init: ast.FunctionDef | ast.AsyncFunctionDef, known: Mapping[str, str]) -> None:
        """An attribute that is given an argument has its type."""
        given = {arg.arg: mentioned(arg.annotation, known) for arg in _arguments(init)}
        for node in ast.walk(init):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
                for target in node.targets:
                    if isinstance(target, ast.Attribute):
                        names = given.get(node.value.id, NONE)
                        self.attributes.setdefault(target.attr, set()).update(names)


def _own(path: str) -> dict[str, str]:
    """Sections are called by their names where they are defined."""
    return {name: name for name in _sections()} if _is_schema(path) else {}


def _is_schema(path: str) -> bool:
    return path.startswith("engine/config/schema/")


def _imported(tree: ast.Module) -> dict[str, str]:
    """Return what sections are called in a module."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "engine.config.schema"
        ):
            for alias in node.names:
                if alias.name in _sections():
                    known[alias.asname or alias.name] = alias.name
                else:  # a module: its sections are written behind a dot
                    known |= {name: name for name in _sections() if name != "Agent"}
    return known


def mentioned(annotation: ast.expr | None, known: Mapping[str, str]) -> Names:
    """Return the sections an annotation mentions, whatever they are in."""
    if annotation is None or not known:
        return NONE
    words: set[str] = set()
    for node in ast.walk(annotation):
        match node:
            case ast.Name(id=word) | ast.Attribute(attr=word):
                words.add(word)
            case ast.Constant(value=str(text)):
                words |= set(_WORD.findall(text))
            case _:
                pass
    return frozenset(known[word] for word in words if word in known)


def _arguments(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[ast.arg]:
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]


class _Reader(ast.NodeVisitor):
    """Follows one module; notes each attribute of a section."""

    def __init__(
        self, world: _World, known: Mapping[str, str], found: set[tuple[str, str]]
    ) -> None:
        self._world = world
        self._known = known
        self._found = found
        self._scopes: list[dict[str, Names]] = [{}]
        self._inside: list[str] = []  # classes that are sections themselves

    # -- types ---------------------------------------------------------------------------

    def _type(self, node: ast.expr | None) -> Names:
        match node:
            case ast.Name(id=name):
                return next((one[name] for one in reversed(self._scopes) if name in one), NONE)
            case ast.Attribute(value=value, attr=attr):
                return self._member(self._type(value), attr)
            case ast.Call():
                return self._answer(node)
            case ast.Subscript(value=value) | ast.Await(value=value) | ast.Starred(value=value):
                return self._type(value)
            case ast.NamedExpr(value=value):
                return self._type(value)
            case ast.BoolOp(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts):
                return self._any(parts)
            case ast.IfExp(body=body, orelse=other):
                return self._any([body, other])
            case ast.Dict(values=parts):
                return self._any(parts)
            case _:
                return NONE

    def _any(self, parts: Sequence[ast.expr]) -> Names:
        return frozenset(name for part in parts for name in self._type(part))

    def _member(self, owners: Names, attr: str) -> Names:
        found: set[str] = set()
        for owner in owners:
            section = _sections()[owner]
            if (info := section.model_fields.get(attr)) is not None:
                inner, _ = inside(info)
                found |= {inner.__name__} if inner is not None else set()
            elif isinstance(vars(section).get(attr, getattr(section, attr, None)), property):
                found |= self._world.returns.get(attr, set())
        return frozenset(found) if owners else frozenset(self._world.attributes.get(attr, ()))

    def _answer(self, call: ast.Call) -> Names:
        match call.func:
            case ast.Attribute(value=value, attr=attr):
                held = self._type(value)
                kept = frozenset(self._world.attributes.get(attr, ()))  # a function that was given
                answers = frozenset(self._world.returns.get(attr, ()))
                return held if held and attr in _THROUGH else answers or kept
            case ast.Name(id="getattr"):
                if isinstance(call.args[1], ast.Constant):
                    return self._member(self._type(call.args[0]), str(call.args[1].value))
                owners = [_sections()[name] for name in self._type(call.args[0])]
                parts = [inside(info)[0] for one in owners for info in one.model_fields.values()]
                return frozenset(part.__name__ for part in parts if part is not None)
            case ast.Name(id=name):
                made = frozenset({self._known[name]}) if name in self._known else NONE
                through = self._any([arg for arg in call.args if not isinstance(arg, ast.Lambda)])
                return made or frozenset(self._world.returns.get(name, ())) or through
            case _:
                return NONE

    # -- names ---------------------------------------------------------------------------

    def _bind(self, target: ast.expr, names: Names) -> None:
        match target:
            case ast.Name(id=name):
                self._scopes[-1][name] = names
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for part in parts:
                    self._bind(part, names)
            case _:
                pass

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._inside.append(node.name)
        self.generic_visit(node)
        self._inside.pop()

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        scope = {arg.arg: mentioned(arg.annotation, self._known) for arg in _arguments(node)}
        if self._inside and self._inside[-1] in self._known:
            scope["self"] = frozenset({self._inside[-1]})
        self._scopes.append(scope)
        self.generic_visit(node)
        self._scopes.pop()

    visit_FunctionDef = _function
    visit_AsyncFunctionDef = _function
    visit_Lambda = _function

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._bind(target, self._type(node.value))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
        self._bind(node.target, mentioned(node.annotation, self._known) or self._type(node.value))

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._bind(node.target, self._type(node.value))

    def _loop(self, node: ast.For | ast.AsyncFor | ast.comprehension) -> None:
        self.visit(node.iter)
        self._bind(node.target, self._type(node.iter))
        self.generic_visit(node)

    visit_For = _loop
    visit_AsyncFor = _loop
    visit_comprehension = _loop

    def _comprehension(self, node: ast.GeneratorExp | ast.ListComp | ast.SetComp) -> None:
        self._scopes.append({})
        for part in node.generators:
            self.visit(part)
        self.visit(node.elt)
        self._scopes.pop()

    visit_GeneratorExp = _comprehension
    visit_ListComp = _comprehension
    visit_SetComp = _comprehension

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._scopes.append({})
        for part in (*node.generators, node.key, node.value):
            self.visit(part)
        self._scopes.pop()

    # -- reading -------------------------------------------------------------------------

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._read(self._type(node.value), node.attr)
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(func=ast.Attribute(value=value, attr="model_dump")):
                for owner in self._type(value):
                    for name in _sections()[owner].model_fields:
                        self._read(frozenset({owner}), name)
            case ast.Call(
                func=ast.Name(id="getattr"), args=[value, ast.Constant(value=str(name)), *_]
            ):
                self._read(self._type(value), name)
            case _:
                pass
        self.generic_visit(node)

    def _read(self, owners: Names, name: str) -> None:
        """Note a key, also of the sections that inherit it."""
        for owner in owners:
            self._found |= {
                (heir, name)
                for heir, section in _sections().items()
                if issubclass(section, _sections()[owner]) and name in section.model_fields
            }
