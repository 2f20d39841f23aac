"""Secrets in the config: values that do not print, references that are resolved at load.

Not here: redaction of logs (`engine.log`), which is told the resolved values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from engine.config.masks import is_marker

SOURCES: Final = ("env", "file", "exec")


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where a secret is kept (operations.md §5)."""

    source: str  # env | file | exec
    provider: str
    id: str


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A credential, or a reference to one. Printing it shows neither."""

    value: str | None = None
    ref: SecretRef | None = None
    origin: str = "config"  # config | env | file | exec

    def reveal(self) -> str:
        """The credential. A reference must have been resolved first."""
        if self.value is None:
            raise AssertionError("secret reference read before it was resolved")
        return self.value

    @property
    def known(self) -> str | None:
        """The credential, None of a reference nobody followed: what it belongs to is off."""
        return self.value or None

    def __bool__(self) -> bool:
        return bool(self.value) or self.ref is not None

    def __repr__(self) -> str:
        return f"Secret({self.origin if self.ref is None else self.ref.source}, hidden)"

    __str__ = __repr__

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: Any, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            secret, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _core: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": ["string", "object"], "writeOnly": True}


def secret(value: object) -> Secret:
    """Read a credential as the file spells it: a string or a reference object."""
    match value:
        case Secret():
            return value
        case str() if is_marker(value):
            raise ValueError(
                f'"{value.strip()}" is what a hidden secret prints as, not a secret;'
                " write the real value or ${NAME}"
            )
        case str():
            return Secret(value)
        case {"source": str(source), "id": str(ident), **rest} if source in SOURCES:
            return Secret(ref=SecretRef(source, str(rest.get("provider") or ""), ident))
        case Mapping():
            raise ValueError('a secret reference needs source ("env", "file" or "exec") and id')
        case _:
            raise ValueError("expected a string or a secret reference object")
