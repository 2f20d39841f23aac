"""What every config section is made of: the strict base, one-line keys, types of values."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic.json_schema import WithJsonSchema

from jobs.written import CENTURY

ZERO: Final = timedelta(0)
YET: Final = "no effect yet"  # of a key that is known and not built
DURATION_HELP: Final = "use 500ms, 30s, 30m, 2h, 1d, or a sum such as 1h30m"


class Section(BaseModel):
    """One object of the config file: frozen, camelCase outside, unknown keys refused."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        defer_build=True,  # keeps the import cheap; built when the first file is validated
    )


def key(default: Any, text: str, *, unit: str | None = None, inert: str = "", **limits: Any) -> Any:
    """One typed key: default, one sentence, unit where a bare number has one.

    ``inert`` says that nothing comes of it yet; whoever writes it is told (operations.md §2).
    """
    return Field(default, description=text, json_schema_extra=_extra(unit, inert), **limits)


def section(kind: type[BaseModel], text: str, *, inert: str = "") -> Any:
    """A nested object that is there with its defaults when the file does not name it."""
    return Field(default_factory=kind, description=text, json_schema_extra=_extra(None, inert))


def table(text: str, *, inert: str = "") -> Any:
    """A map keyed by ids, empty by default."""
    return Field(default_factory=dict, description=text, json_schema_extra=_extra(None, inert))


def _extra(unit: str | None, inert: str) -> Any:
    found = {"unit": unit, "inert": inert}
    return {name: text for name, text in found.items() if text} or None


def inert_words(info: FieldInfo) -> str:
    """Why a key has no effect yet; '' for one that has."""
    extra = info.json_schema_extra
    return str(extra.get("inert", "")) if isinstance(extra, dict) else ""


def _duration(value: object, *, default_unit: str | None, narrow: bool) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"invalid duration {value!r} ({DURATION_HELP})")
    from jobs.duration import parse_duration
    from jobs.errors import InvalidSchedule

    text = f"{value:g}" if isinstance(value, float) else str(value)
    try:
        return parse_duration(text, default_unit=default_unit, narrow=narrow)
    except InvalidSchedule as error:
        raise ValueError(f'invalid duration "{text}" ({DURATION_HELP})') from error


_OFF: Final = frozenset({"false", "off", "0", "0.0", "0ms", "0s", "0m", "0h", "0d"})


def _every(value: object) -> timedelta:
    """Heartbeat cadence: a bare number is minutes; `off`, false and 0 switch it off."""
    if isinstance(value, timedelta):
        return value
    if str(value).strip().lower() in _OFF:
        return ZERO
    every = _duration(value, default_unit="m", narrow=True)
    if every != ZERO and not timedelta(seconds=1) <= every <= timedelta(days=400):
        raise ValueError(
            f'duration "{value}" is out of range (use 1s to 400d, or 0m to switch off)'
        )
    return every


def _span(value: object) -> timedelta:
    return _duration(value, default_unit=None, narrow=False)


def _retention(value: object) -> timedelta | None:
    return None if value is False else _duration(value, default_unit="h", narrow=False)


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"expected a string or a whole number, got {value!r}")
    return str(value).strip()


def _days(value: object) -> object:
    """Days may be one text: `mon-fri, sun`."""
    if isinstance(value, str):
        return tuple(one.strip() for one in value.split(",") if one.strip())
    return tuple(value) if isinstance(value, list) else value


def _bytes(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str):
        text = value.strip().lower().removesuffix("b").strip()
        scale = {"k": 1024, "m": 1024**2, "g": 1024**3}.get(text[-1:], 1)
        number = text[:-1].strip() if scale > 1 else text
        if number.isdecimal():
            return int(number) * scale
    raise ValueError(f"invalid size {value!r} (use a number of bytes, 512kb, 2mb or 1gb)")


_DURATION_SCHEMA: Final = {"type": ["string", "number"], "format": "duration"}

Every = Annotated[timedelta, PlainValidator(_every), WithJsonSchema(_DURATION_SCHEMA)]
Span = Annotated[timedelta, PlainValidator(_span), WithJsonSchema(_DURATION_SCHEMA)]
Retention = Annotated[
    timedelta | None, PlainValidator(_retention), WithJsonSchema(_DURATION_SCHEMA)
]
Text = Annotated[str, PlainValidator(_text), WithJsonSchema({"type": ["string", "integer"]})]
Bytes = Annotated[int, PlainValidator(_bytes), WithJsonSchema({"type": ["string", "integer"]})]
# What a validator of ours has had in its hands is no longer JSON: a list is not yet a tuple.
_LISTED: Final = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
Texts = Annotated[tuple[Text, ...], _LISTED]
Names = Annotated[tuple[str, ...], _LISTED]
Days = Annotated[tuple[str, ...], BeforeValidator(_days)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
Millis = Annotated[int, Field(ge=0, le=CENTURY // timedelta(milliseconds=1))]
Port = Annotated[int, Field(ge=0, le=65535)]
Open = dict[str, Any]  # an object whose inside another room checks, or nobody

DmPolicy = Literal["pairing", "allowlist", "open", "disabled"]
GroupPolicy = Literal["open", "allowlist", "disabled"]
