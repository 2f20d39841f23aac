"""Frozen values, made and changed without going through the guard that keeps them frozen.

The ``__init__`` of a frozen dataclass writes each field through `object.__setattr__`, and
`dataclasses.replace` looks at every field besides. Rows of the ledger have three dozen fields
and change several times in every run: an eighth of a simulated year was spent there. So a
value is built as its twin, a class with the same slots and no guard, and becomes what it is
when it is whole: nobody ever holds one that is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["changed", "swift"]

T = TypeVar("T")

if TYPE_CHECKING:
    from dataclasses import replace as changed  # the type checker knows the fields it takes
else:

    def changed(value: Any, /, **changes: Any) -> Any:
        """Return a frozen value with slots as it is, but for these fields; see `replace`."""
        kind = type(value)
        read, places, twin = _access(kind)
        values = read(value)
        for name, given in changes.items():
            values[places[name]] = given
        copy = twin(*values)
        copy.__class__ = kind
        return copy


def swift(kind: type[T]) -> type[T]:
    """Give a frozen dataclass with slots an ``__init__`` that takes the same and costs half.

    For what is made several times in every run; elsewhere nobody would notice.
    """
    _demand(kind)
    plain: Any = kind

    def first(self: Any, *given: Any, **named: Any) -> None:
        made = _maker(plain)
        plain.__init__ = made  # written out when it is needed: many a command makes none
        made(self, *given, **named)

    plain.__init__ = first
    return kind


def _maker(kind: type) -> Any:
    known: dict[str, Any] = {
        "_become": object.__setattr__,
        "_kind": kind,
        "_twin": _twin(kind),
        "_unset": MISSING,
    }
    for one in fields(kind):
        known[f"_default_{one.name}"] = one.default
        known[f"_factory_{one.name}"] = one.default_factory
    body = [
        "_become(self, '__class__', _twin)",
        *(f"self.{one.name} = {_given(one)}" for one in fields(kind)),
        "self.__class__ = _kind",
    ]
    made = _function(_parameters(kind), body, known)
    made.__qualname__ = f"{kind.__qualname__}.__init__"
    return made


@cache
def _access(kind: type) -> tuple[Callable[[Any], list[Any]], dict[str, int], type]:
    """Return what reads all fields of a class at once, where each of them stands, its twin."""
    twin = _twin(kind)
    names = [one.name for one in fields(kind)]
    places = {name: place for place, name in enumerate(names)}
    if len(names) == 1:
        return lambda value: [getattr(value, names[0])], places, twin
    read = attrgetter(*names)
    return lambda value: list(read(value)), places, twin


@cache
def _twin(kind: type) -> type:
    """Return the class with the slots of ``kind``, and no guard, that takes values in order."""
    _demand(kind)
    names = tuple(one.name for one in fields(kind))
    put = _function(["self", *names], [f"self.{name} = {name}" for name in names], {})
    return type(kind.__name__, (), {"__slots__": names, "__init__": put})


def _demand(kind: type) -> None:
    plain = is_dataclass(kind) and "__slots__" in vars(kind) and kind.__bases__ == (object,)
    if not plain or hasattr(kind, "__post_init__"):
        raise AssertionError(f"{kind.__name__} is no plain value with slots")


def _parameters(kind: type) -> list[str]:
    """Return what its ``__init__`` takes, as source: by place, then by name only."""
    found = [one for one in fields(kind) if one.init]
    named = [_parameter(one) for one in found if one.kw_only]
    placed = [_parameter(one) for one in found if not one.kw_only]
    return ["self", *placed, *(["*", *named] if named else [])]


def _parameter(one: Field[Any]) -> str:
    if one.default is not MISSING:
        return f"{one.name}=_default_{one.name}"
    return f"{one.name}=_unset" if one.default_factory is not MISSING else one.name


def _given(one: Field[Any]) -> str:
    if not one.init:  # nobody gives it
        return f"_factory_{one.name}()" if one.default is MISSING else f"_default_{one.name}"
    if one.default_factory is MISSING:
        return one.name
    return f"_factory_{one.name}() if {one.name} is _unset else {one.name}"


def _function(parameters: Sequence[str], body: Sequence[str], known: dict[str, Any]) -> Any:
    """Return an ``__init__``, written out as those of dataclasses are: nothing from outside."""
    lines = "\n    ".join(body)
    exec(f"def __init__({', '.join(parameters)}):\n    {lines}", known)  # noqa: S102 - see above
    return known["__init__"]
