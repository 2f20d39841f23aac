"""Frozen values with some fields changed.

`dataclasses.replace` builds the value anew: it looks at every field, and writes each through
a guard that the frozen class puts before it. Rows of the ledger have three dozen fields and
change several times in every run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

__all__ = ["changed"]

if TYPE_CHECKING:
    from dataclasses import replace as changed  # the type checker knows the fields it takes
else:

    def changed(value: Any, /, **changes: Any) -> Any:
        """Return a frozen value with slots as it is, but for these fields; see `replace`."""
        read, write = _access(type(value))
        copy = object.__new__(type(value))
        for put, kept in zip(write.values(), read(value), strict=True):
            put(copy, kept)
        for name, given in changes.items():
            write[name](copy, given)
        return copy


@cache
def _access(kind: type) -> tuple[Callable[[Any], tuple[Any, ...]], dict[str, Callable[..., None]]]:
    """Return what reads all fields of a class at once, and what writes each."""
    if not is_dataclass(kind) or hasattr(kind, "__post_init__") or "__slots__" not in vars(kind):
        raise AssertionError(f"{kind.__name__} is no plain value with slots")
    names = [one.name for one in fields(kind)]
    return attrgetter(*names), {name: getattr(kind, name).__set__ for name in names}
