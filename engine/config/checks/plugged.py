"""Sections of channels that come with other packages, judged by their own models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pydantic import ValidationError

from engine.config.checks.findings import Check
from engine.messages import plugged


class Model(Protocol):
    """What a plugin reads its section with: a pydantic model does."""

    def model_validate(self, obj: Any) -> Any:
        """Return the settings, or raise pydantic's `ValidationError`."""


def sections(check: Check) -> None:
    """Each section as its channel reads it; one that cannot be loaded is told, and harms nobody."""
    for name, section in (check.config.channels.model_extra or {}).items():
        if not isinstance(section, Mapping):
            check.refuse(("channels", name), "expected an object")
            continue
        try:
            model: Model | None = getattr(plugged.load(name), "settings", None)
        except plugged.NotLoaded as error:
            words = f"channel {name} is installed and cannot be loaded: {error}"
            check.warn(("channels", name), "channels.plugin_broken", words)
            continue
        if model is not None:
            _judge(check, name, section, model)


def _judge(check: Check, name: str, section: Mapping[str, Any], model: Model) -> None:
    try:
        model.model_validate(dict(section))
    except ValidationError as error:
        for row in error.errors(include_url=False, include_input=False):
            where: Sequence[str | int] = row["loc"]
            check.refuse(("channels", name, *where), str(row["msg"]))
