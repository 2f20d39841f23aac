"""What stands before an agent's messages: `messages.responsePrefix` and its channel's own. Pure.

The reference's spelling: `auto` is the agent's name in brackets, and a text may name the
agent and the model that answered. A name nobody knows stays as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Protocol

AUTO: Final = "auto"
_FIELD: Final = re.compile(r"\{([A-Za-z.]+)\}")


class Answered(Protocol):
    """An answer, as far as a prefix may tell of it."""

    @property
    def model(self) -> str | None:
        """Which model gave it."""

    @property
    def provider(self) -> str | None:
        """Whose model that is."""


def rendered(template: str, *, name: str | None, reply: Answered | None = None) -> str:
    """Return a prefix as it is sent; `auto` of an agent without a name is none."""
    if template.strip().lower() == AUTO:
        return f"[{name}]" if name else ""
    known = _known(name, reply)
    return _FIELD.sub(lambda field: known.get(field[1].lower(), field[0]), template).strip()


def put_before(prefix: str, text: str) -> str:
    """Return a text with its prefix, which an agent may have written itself."""
    if not prefix or text.lower().startswith(prefix.lower()):
        return text
    return f"{prefix} {text}"


def _known(name: str | None, reply: Answered | None) -> Mapping[str, str]:
    model = (reply.model if reply else None) or ""
    provider = (reply.provider if reply else None) or ""
    told = {
        "identity.name": name or "",
        "identityname": name or "",
        "model": model.rpartition("/")[2],
        "modelfull": f"{provider}/{model}".strip("/"),
        "provider": provider,
    }
    return {field: value for field, value in told.items() if value}
