"""What must not be read in a log: known secrets, and whatever looks like one (design.md P7).

operations.md §11: a value of 18 characters or more keeps its first 6 and last 4, so that two
keys can be told apart; a shorter one is `***`. A secret that is known is hidden whole.
Imports nothing slow: the quick commands hide by the same word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Final

HIDDEN: Final = "__ENGINE_REDACTED__"
MASK: Final = "***"
_SHORTEST: Final = 6  # a shorter secret would hide ordinary words
_LONG: Final = 18
_HEAD: Final = 6
_TAIL: Final = 4
_SLASHED: Final = re.compile(r"/(.+)/([gimsuy]*)$", re.DOTALL)  # as other tools write them

# A group is what is hidden; without one it is all of it.
DEFAULTS: Final = (
    r"\b[A-Z0-9_]*(?:API_?KEY|TOKEN|SECRET|PASSWORD|PASSWD)\s*[=:]\s*[\"']?([^\s\"',;}]{6,})",
    (
        r"(?i)\\?\"(?:api[-_]?key|(?:access|refresh|bot|auth|gateway)?[-_]?token|client[-_]?secret"
        r"|secret|password|passwd|authorization)\\?\"\s*:\s*\\?\"([^\"\\]{4,})"
    ),
    r"(?i)--(?:api[-_]?key|token|secret|password)[= ]+[\"']?([^\s\"']{6,})",
    r"(?i)\bbearer\s+([A-Za-z0-9._~+/=-]{8,})",
    r"://[^/\s:@\"]+:([^/\s@\"]{3,})@",
    r"\b((?:sk|pk|rk|xai|gsk|key)-[A-Za-z0-9_-]{8,})\b",
    r"\b((?:gh[pousr]|github_pat|glpat|npm|pypi)[_-][A-Za-z0-9_-]{16,})\b",
    r"\b(xox[abeprs]-[A-Za-z0-9-]{10,})\b",
    r"\b(AIza[0-9A-Za-z_-]{20,})\b",
    r"(?:(?<![\w-])|(?<=/bot))(\d{6,12}:[A-Za-z0-9_-]{30,})",
    r"(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----)",
)


def compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern, `/…/i` too; ValueError with what is wrong with it."""
    slashed = _SLASHED.match(pattern)
    body, letters = (slashed[1], slashed[2]) if slashed else (pattern, "")
    flags = re.IGNORECASE if "i" in letters else re.NOFLAG
    flags |= re.DOTALL if "s" in letters else re.NOFLAG
    flags |= re.MULTILINE if "m" in letters else re.NOFLAG
    try:
        return re.compile(body, flags)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error


def shortened(secret: str) -> str:
    """Return what may be shown of a value that looks like a secret."""
    return f"{secret[:_HEAD]}…{secret[-_TAIL:]}" if len(secret) >= _LONG else MASK


class Redactor:
    """Knows the secrets of a config and takes them out of any text."""

    def __init__(
        self,
        secrets: Collection[str] = (),
        patterns: Sequence[str] | None = DEFAULTS,
        *,
        show: Callable[[str], str] = shortened,
    ) -> None:
        self._show = show  # what stands in the place of what looks like a secret
        self._secrets: tuple[str, ...] = ()
        self._patterns: tuple[re.Pattern[str], ...] = ()
        self.learn(secrets)
        self.look_for(patterns)

    def learn(self, secrets: Collection[str]) -> None:
        """Know these from now on, in every spelling a log gives them."""
        fresh = (one for secret in secrets for one in spellings(secret))
        known = {*self._secrets, *(one for one in fresh if len(one) >= _SHORTEST)}
        self._secrets = tuple(sorted(known, key=len, reverse=True))

    def look_for(self, patterns: Sequence[str] | None) -> None:
        """Hide what these match from now on; None: only what is known."""
        self._patterns = tuple(compiled(one) for one in patterns or ())

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        for pattern in self._patterns:
            text = pattern.sub(self._masked, text)
        return text

    def _masked(self, found: re.Match[str]) -> str:
        whole = found[0]
        if HIDDEN in whole:
            return whole
        if found.re.groups == 0 or found[1] is None:
            return self._show(whole)
        start, end = found.span(1)
        at = found.start()
        return whole[: start - at] + self._show(found[1]) + whole[end - at :]


def spellings(secret: str) -> set[str]:
    """Return a secret as it stands, inside JSON, inside an address, and line by line."""
    if secret.isascii() and secret.replace("-", "").replace("_", "").isalnum():
        return {secret}
    import json
    from urllib.parse import quote, quote_plus

    inside = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    lines = {line.strip() for line in secret.splitlines() if len(line.strip()) >= _LONG}
    return {secret, *inside, quote(secret, safe=""), quote(secret), quote_plus(secret), *lines}
