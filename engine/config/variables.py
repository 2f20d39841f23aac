"""`${NAME}` in the texts of the config (operations.md §2.5). Pure, and quick to import."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

_VARIABLE: Final = re.compile(r"\$?\$\{([A-Z_][A-Z0-9_]*)\}")


def expand(
    text: str, env: Mapping[str, str], missing: Callable[[str], object] | None = None
) -> str:
    """`${NAME}` becomes its value, `$${NAME}` a literal `${NAME}`.

    A variable that is unset or empty becomes nothing, and ``missing`` is told its name.
    """

    def one(match: re.Match[str]) -> str:
        if match[0].startswith("$$"):
            return match[0][1:]
        value = env.get(match[1], "")
        if not value and missing is not None:
            missing(match[1])
        return value

    return _VARIABLE.sub(one, text)


def is_variable(text: str) -> bool:
    """Whether a text is one `${NAME}` and nothing else: it names a secret and shows none."""
    found = _VARIABLE.fullmatch(text)
    return found is not None and not text.startswith("$$")


def names(text: str) -> list[str]:
    """The variables a text asks for; a literal `$${NAME}` asks for none."""
    return [match[1] for match in _VARIABLE.finditer(text) if not match[0].startswith("$$")]
