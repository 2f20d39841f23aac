"""Decides key by key: ours, known but without effect here, or unknown (operations.md §1.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel

from engine.config.issues import Issue, Note
from engine.config.json5 import Member, Node
from engine.config.keeping.legacy import CHANNELS
from engine.config.keypath import Key, join
from engine.config.reference import children, knows
from engine.config.schema import Config
from engine.config.schema.base import inert_words
from engine.config.schema.channels import Channels
from engine.config.schema.process import Env
from engine.config.secrets import Secret
from engine.messages import plugged

LEGACY: Final[Mapping[Key, str]] = {
    ("gateway", "token"): "gateway.auth.token",
    ("gateway", "password"): "gateway.auth.password",
    ("identity",): "agents.list[].identity",
    ("agent",): "agents.defaults",
    ("routing",): "bindings, messages.groupChat and channels.<channel>.allowFrom",
    **{(name,): f"channels.{name}" for name in CHANNELS},
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What may stand at a place: an object of a section, a map, a list, or anything."""

    kind: str  # section | map | list | secret | any
    model: type[BaseModel] | None = None
    inner: Shape | None = None


ANYTHING: Final = Shape("any")
_FEW: Final = 12  # keys of an object that one line can name


@cache
def shape(annotation: Any) -> Shape:
    """The shape behind a type annotation."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return shape(get_args(annotation)[0])
    if origin in (Union, UnionType):
        shapes = [s for a in get_args(annotation) if (s := shape(a)).kind != "any"]
        first = shapes[0] if shapes else ANYTHING
        many = next((s for s in shapes if s.kind == "list"), None)
        # One object or a list of such.
        return replace(first, inner=many.inner) if many and first.kind == "section" else first
    if origin is dict:
        inner = shape(get_args(annotation)[1])
        return Shape("map", inner=inner)
    if origin is tuple:
        return Shape("list", inner=shape(get_args(annotation)[0]))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Shape("section", model=annotation)
    return Shape("secret") if annotation is Secret else ANYTHING


@cache
def keys_of(model: type[BaseModel]) -> dict[str, Shape]:
    """Keys of a section as the file spells them."""
    return {f.alias or name: shape(_hint(f.annotation)) for name, f in model.model_fields.items()}


def step(here: Shape, part: str | int) -> Shape | None:
    """The shape one part deeper, None when nothing typed is there."""
    if here.kind in ("any", "secret"):
        return ANYTHING
    if here.kind == "section" and here.model is not None:
        if isinstance(part, int):
            return here.inner
        if here.model is Env and part not in ("vars", "shellEnv"):
            return ANYTHING
        return keys_of(here.model).get(str(part))
    return here.inner


def _hint(annotation: Any) -> Any:
    """mypy takes an annotation for something that cannot be cached."""
    return annotation


@dataclass(slots=True)
class Walker:
    """Takes out what has no effect and remembers why."""

    issues: list[Issue] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def prune(self, root: Node) -> Node:
        """The tree with only typed keys left."""
        return self._node(root, Shape("section", model=Config), (), "")

    def _node(self, node: Node, here: Shape, key: Key, path: str) -> Node:
        if node.kind == "array" and here.kind in ("list", "section") and here.inner is not None:
            inner = here.inner
            items = tuple(
                self._node(item, inner, (*key, n), join(path, n))
                for n, item in enumerate(node.items)
            )
            return replace(node, items=items)
        if node.kind != "object" or here.kind not in ("section", "map"):
            return node
        kept = []
        for member in node.members:
            below = step(here, member.key)
            deeper, name = (*key, member.key), join(path, member.key)
            if below is not None:
                told = len(self.notes)
                kept.append(replace(member, node=self._node(member.node, below, deeper, name)))
                if words := _inert_of(here, member.key):
                    del self.notes[told:]  # that goes without saying
                    self._tell(member, deeper, name, words)
            elif here.model is Channels and plugged.named(member.key):
                kept.append(member)  # its own model reads it
            else:
                self._foreign(member, here, deeper, path)
        return replace(node, members=tuple(kept))

    def _foreign(self, member: Member, here: Shape, key: Key, path: str) -> None:
        name = join(path, member.key)
        replacement = LEGACY.get(key)
        if replacement is not None:
            self.issues.append(
                Issue(
                    path=name,
                    message=f"moved to {replacement}; engine doctor --fix writes it there",
                    code="legacy",
                    place=member.place,
                    suggestion=replacement,
                )
            )
            return
        own = tuple(keys_of(here.model)) if here.model else ()
        if here.model is Channels:
            near = get_close_matches(member.key, own, 1, 0.8)
            if knows(key) or not near:
                self._channel(member, name)
                return
        elif knows(key):
            self._tell(member, key, name, "no effect here")
            return
        self.issues.append(_unknown(member, own, key, path))

    def _channel(self, member: Member, name: str) -> None:
        message = (
            f"no installed channel is called {member.key}; the section has no effect"
            f" (it would come with a plugin of that name)"
        )
        self.notes.append(
            Note(code="config.inert_section", path=name, message=message, place=member.place)
        )

    def _tell(self, member: Member, key: Key, name: str, words: str) -> None:
        code = "config.inert_section" if len(key) == 1 else "config.inert_key"
        self.notes.append(
            Note(code=code, path=name, message=f"accepted, {words}", place=member.place)
        )


def _inert_of(here: Shape, name: str) -> str:
    """Why a typed key has no effect; '' for one that has."""
    return inert_keys(here.model).get(name, "") if here.model is not None else ""


@cache
def inert_keys(model: type[BaseModel]) -> dict[str, str]:
    """Keys of a section that are known and have no effect, each with the reason."""
    found = {f.alias or name: inert_words(f) for name, f in model.model_fields.items()}
    return {name: words for name, words in found.items() if words}


def _unknown(member: Member, own: tuple[str, ...], key: Key, path: str) -> Issue:
    message, near = unknown_words(member.key, own, key[:-1])
    return Issue(
        path=join(path, member.key),
        message=message,
        code="unknown-key",
        place=member.place,
        suggestion=near,
        owner=path,
    )


def _longer(name: str, ours: Mapping[str, str]) -> list[str]:
    """`runs` for `runsPerDay`: the one key that begins so."""
    longer = [key for key in ours if key.startswith(name)]
    return longer if len(longer) == 1 else []


def unknown_words(name: str, own: tuple[str, ...], parent: Key) -> tuple[str, str | None]:
    """`unknown key "prot" — did you mean "port"?` and the nearest key, ours before theirs."""
    lowered = {k.lower(): k for k in (*children(parent), *own)}
    ours = {k.lower(): k for k in own}
    near = get_close_matches(name.lower(), ours, 1)
    near = near or get_close_matches(name.lower(), lowered, 1, 0.85)  # no effect here: only a typo
    near = near or _longer(name.lower(), ours)
    if not near:
        known = f" (known here: {', '.join(own)})" if parent and len(own) <= _FEW else ""
        return f'unknown key "{name}"{known}', None
    return f'unknown key "{name}" — did you mean "{lowered[near[0]]}"?', lowered[near[0]]
