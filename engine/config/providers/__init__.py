"""Where secrets are kept: variables, files, programs; each asked once, by the letter of §5.

A provider answers all ids it is asked for in one go, with a value or with why there is none.
What it says goes wrong never holds a value. Nothing here is asked after the start but by a reload.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from engine.config.secrets import SOURCES, SecretRef

ALIAS: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_IDS: Final = {
    "env": (re.compile(r"[A-Z][A-Z0-9_]{0,127}"), "capital letters, digits and _"),
    "exec": (
        re.compile(r"(?!.*(?:^|/)\.{1,2}(?:/|$))[A-Za-z0-9][A-Za-z0-9._:/-]{0,255}"),
        "letters, digits and . _ : / -, without .. between slashes",
    ),
}
_POINTER: Final = re.compile(r"(/([^~/]|~[01])*)+")
SINGLE: Final = "value"  # the only id of a provider that holds one secret


class Unresolved(Exception):
    """A reference led nowhere; the text says why and holds no value."""

    skipped = False  # nobody was asked


Found = Mapping[str, "str | Unresolved"]  # by id


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`secrets.resolution`."""

    max_provider_concurrency: int = 4
    max_refs_per_provider: int = 512
    max_batch_bytes: int = 262_144


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """What the config says about providers, and what they are asked with."""

    env: Mapping[str, str]
    directory: Path  # relative paths hang on it
    providers: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    programs: bool = True  # False: programs are not run

    @classmethod
    def of(cls, section: Any, env: Mapping[str, str], directory: Path, **more: Any) -> Book:
        """Read it out of `secrets` as the file has it; what is no object counts as missing."""
        plain = section if isinstance(section, Mapping) else {}
        limits = _section(plain, "resolution")
        given = {
            name: limits[key]
            for name, key in _LIMITS.items()
            if isinstance(limits.get(key), int) and limits[key] > 0
        }
        return cls(
            env=env,
            directory=directory,
            providers=_section(plain, "providers"),
            defaults=_section(plain, "defaults"),
            limits=Limits(**given),
            **more,
        )

    def named(self, ref: SecretRef) -> SecretRef:
        """The reference with the provider it means: its own, the default, the kind itself."""
        alias = ref.provider or str(self.defaults.get(ref.source) or "") or ref.source
        return SecretRef(ref.source, alias, ref.id)

    def look_up(self, refs: Sequence[SecretRef]) -> dict[SecretRef, str | Unresolved]:
        """Every reference's value, or why it has none; providers are asked side by side."""
        asked: dict[tuple[str, str], dict[str, None]] = {}
        for ref in (self.named(one) for one in refs):
            asked.setdefault((ref.source, ref.provider), {})[ref.id] = None
        if not asked:
            return {}
        most = min(self.limits.max_provider_concurrency, len(asked))
        with ThreadPoolExecutor(most, "secrets") as pool:
            answers = list(pool.map(lambda key: self._of(key[0], key[1], list(asked[key])), asked))
        by_key = dict(zip(asked, answers, strict=True))
        return {
            ref: by_key[named.source, named.provider][named.id]
            for ref in refs
            for named in (self.named(ref),)
        }

    def _of(self, source: str, alias: str, ids: Sequence[str]) -> Found:
        """What one provider says of its ids."""
        try:
            provider = self._provider(source, alias)
            if len(ids) > self.limits.max_refs_per_provider:
                most = self.limits.max_refs_per_provider
                raise Unresolved(
                    f"{len(ids)} references to provider {alias}"
                    f" (secrets.resolution.maxRefsPerProvider is {most})"
                )
            wrong = {one: fault for one in ids if (fault := id_fault(source, one, provider))}
            fit = [one for one in ids if one not in wrong]
            return {**wrong, **(_kind(source)(self, alias, provider, fit) if fit else {})}
        except Unresolved as error:
            return dict.fromkeys(ids, error)

    def _provider(self, source: str, alias: str) -> Mapping[str, Any]:
        if not ALIAS.fullmatch(alias):
            raise Unresolved(f'"{alias}" is no name of a provider (lower case, digits, _ and -)')
        provider = self.providers.get(alias)
        if provider is None:
            if source != "env":
                raise Unresolved(f"there is no secrets.providers.{alias}")
            return {"source": "env"}  # the environment needs no description
        if not isinstance(provider, Mapping) or provider.get("source") != source:
            raise Unresolved(f'provider "{alias}" is not of kind {source}')
        return provider


_LIMITS: Final = {
    "max_provider_concurrency": "maxProviderConcurrency",
    "max_refs_per_provider": "maxRefsPerProvider",
    "max_batch_bytes": "maxBatchBytes",
}
_Kind = Callable[[Book, str, Mapping[str, Any], Sequence[str]], Found]


def _kind(source: str) -> _Kind:
    """Who answers for a kind; loaded only when it is used."""
    match source:
        case "env":
            return _from_env
        case "file":
            from engine.config.providers.file import look_up

            return look_up
        case "exec":
            from engine.config.providers.program import look_up as ask

            return ask
        case _:
            raise Unresolved(f"{source} is no kind of provider ({', '.join(SOURCES)})")


def id_fault(source: str, ident: str, provider: Mapping[str, Any]) -> Unresolved | None:
    """Why an id cannot be one of this kind of provider, if it cannot (the table of §5)."""
    if source == "file":
        if provider.get("mode") == "singleValue":
            good, form = ident == SINGLE, f'"{SINGLE}": the whole file is the secret'
        else:
            good, form = _POINTER.fullmatch(ident) is not None, "a JSON pointer such as /a/b"
    else:
        pattern, form = _IDS[source]
        good = pattern.fullmatch(ident) is not None
        if source == "exec" and provider.get("jsonOnly") is False and ident != SINGLE:
            good, form = False, f'"{SINGLE}": what the program prints is the secret'
    return None if good else Unresolved(f'id "{ident}" is not {form}')


def _from_env(book: Book, alias: str, provider: Mapping[str, Any], ids: Sequence[str]) -> Found:
    allowed = provider.get("allowlist")
    found: dict[str, str | Unresolved] = {}
    for name in ids:
        value = book.env.get(name, "")
        if allowed is not None and name not in allowed:
            found[name] = Unresolved(f"variable {name} is not in the allowlist of {alias}")
        else:
            found[name] = value or Unresolved(f"variable {name} is not set")
    return found


def _section(plain: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = plain.get(name)
    return found if isinstance(found, Mapping) else {}


def number(provider: Mapping[str, Any], key: str, default: int) -> int:
    """A positive number of a provider."""
    given = provider.get(key)
    whole = isinstance(given, int) and not isinstance(given, bool) and given > 0
    return int(given) if whole and given is not None else default
