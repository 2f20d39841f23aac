"""Secret references become values, once, before anything uses the config (operations.md §5)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.config.issues import Issue
from engine.config.json5 import Node
from engine.config.keypath import join
from engine.config.schema import Config
from engine.config.secrets import Secret, SecretRef, secret
from engine.config.walk import ANYTHING, Shape, keys_of


class Unresolved(Exception):
    """A reference led nowhere; the text says why and holds no value."""


@dataclass(slots=True)
class Resolver:
    """Looks up references; unless enabled it only reads plain secrets."""

    env: Mapping[str, str]
    directory: Path
    enabled: bool = True
    providers: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    inactive: list[str] = field(default_factory=list)  # references nobody will use

    def resolve(self, root: Node, issues: list[Issue]) -> Node:
        """The tree with every reference replaced by its value."""
        if not self.enabled:
            return root
        plain = root.plain()
        section = plain.get("secrets", {}) if isinstance(plain, dict) else {}
        if isinstance(section, dict):
            self.providers = section.get("providers") or {}
            self.defaults = section.get("defaults") or {}
        return self._node(root, "", issues)

    def _node(self, node: Node, path: str, issues: list[Issue], *, active: bool = True) -> Node:
        if node.kind == "array":
            items = tuple(
                self._node(item, join(path, n), issues, active=active)
                for n, item in enumerate(node.items)
            )
            return replace(node, items=items)
        if node.kind != "object":
            return node
        if path.startswith(("secrets", "cron.jobs")):
            return node
        if {"source", "id"} <= {m.key for m in node.members} <= {"source", "provider", "id"}:
            if active:
                return self._reference(node, path, issues)
            self.inactive.append(path)
            return node
        switch = node.member("enabled")
        active = active and not (switch and switch.node.value is False)
        members = tuple(
            replace(m, node=self._node(m.node, join(path, m.key), issues, active=active))
            for m in node.members
        )
        return replace(node, members=members)

    def _reference(self, node: Node, path: str, issues: list[Issue]) -> Node:
        try:
            ref = secret(node.plain()).ref
            if ref is None:
                return node
            value = self._look_up(ref)
        except (Unresolved, ValueError) as error:
            message = f"secret was not resolved: {error}"
            issues.append(Issue(path=path, message=message, code="secret", place=node.place))
            return node
        return Node("scalar", node.source, node.start, node.end, value=value)

    def _look_up(self, ref: SecretRef) -> str:
        alias = ref.provider or self.defaults.get(ref.source) or ref.source
        provider = self.providers.get(alias, {"source": ref.source})
        if provider.get("source") != ref.source:
            raise Unresolved(f'provider "{alias}" is not of kind {ref.source}')
        match ref.source:
            case "env":
                return self._from_env(ref, provider)
            case "file":
                return self._from_file(ref, provider, alias)
            case _:
                return self._from_program(ref, provider, alias)

    def _from_env(self, ref: SecretRef, provider: Mapping[str, Any]) -> str:
        allowed = provider.get("allowlist")
        if allowed is not None and ref.id not in allowed:
            raise Unresolved(f"variable {ref.id} is not in the provider's allowlist")
        value = self.env.get(ref.id, "")
        if not value:
            raise Unresolved(f"variable {ref.id} is not set")
        return value

    def _from_file(self, ref: SecretRef, provider: Mapping[str, Any], alias: str) -> str:
        if not provider.get("path"):
            raise Unresolved(f'secrets.providers.{alias} has no "path"')
        path = self.directory / Path(str(provider["path"])).expanduser()
        try:
            status = path.stat()
            if status.st_mode & 0o022 and not provider.get("allowInsecurePath"):
                raise Unresolved(f"{path} can be written by others; run: chmod go-w {path}")
            if not path.is_file() or status.st_size > provider.get("maxBytes", 1_048_576):
                raise Unresolved(f"{path} is not a regular file of allowed size")
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Unresolved(f"{path} cannot be read") from error
        if provider.get("mode") == "singleValue":
            return text.strip()
        try:
            return pointer(json.loads(text), ref.id)
        except json.JSONDecodeError as error:
            raise Unresolved(f"{path} is not JSON") from error

    def _from_program(self, ref: SecretRef, provider: Mapping[str, Any], alias: str) -> str:
        command = Path(str(provider.get("command", "")))
        if not command.is_absolute() or not command.is_file():
            raise Unresolved(f"secrets.providers.{alias}.command is not the path of a program")
        if command.is_symlink() and not provider.get("allowSymlinkCommand"):
            raise Unresolved(f"{command} is a symlink; set allowSymlinkCommand to allow that")
        env = {k: self.env[k] for k in ("PATH", *provider.get("passEnv", ())) if k in self.env}
        ask = {"protocolVersion": 1, "provider": alias, "ids": [ref.id]}
        try:
            done = subprocess.run(  # noqa: S603 - an absolute path from the operator's config, no shell
                [str(command), *provider.get("args", ())],
                input=json.dumps(ask).encode(),
                capture_output=True,
                env={**env, **provider.get("env", {})},
                timeout=provider.get("timeoutMs", 5000) / 1000,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unresolved(f"{command.name} did not answer") from error
        if done.returncode:
            raise Unresolved(f"{command.name} ended with status {done.returncode}")
        if provider.get("jsonOnly", True) is False:
            return done.stdout.decode("utf-8", "replace").strip()
        return _answer(done.stdout, ref.id, command.name)

    def values(self, root: Node) -> Iterator[str]:
        """Every plain or resolved secret of the tree, for the redactor."""
        yield from _values(root, Shape("section", model=Config))


def _answer(raw: bytes, ident: str, program: str) -> str:
    try:
        answer = json.loads(raw)
        value = answer["values"][ident]
    except (ValueError, KeyError, TypeError) as error:
        raise Unresolved(f"{program} has no value for {ident}") from error
    if not isinstance(value, str) or not value:
        raise Unresolved(f"{program} has no value for {ident}")
    return value


def pointer(document: Any, path: str) -> str:
    """The string at an RFC 6901 pointer."""
    here = document
    for part in path.split("/")[1:] if path.startswith("/") else [path]:
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(here, dict) or name not in here:
            raise Unresolved(f"nothing at {path}")
        here = here[name]
    if not isinstance(here, str) or not here:
        raise Unresolved(f"no text at {path}")
    return here


def _values(node: Node, here: Shape) -> Iterator[str]:
    if here.kind == "secret" and node.kind == "scalar" and isinstance(node.value, str):
        yield node.value
    elif node.kind == "array" and here.inner is not None:
        for item in node.items:
            yield from _values(item, here.inner)
    elif node.kind == "object":
        own = keys_of(here.model) if here.model else {}
        for member in node.members:
            yield from _values(member.node, own.get(member.key) or here.inner or ANYTHING)


__all__ = ["Resolver", "Secret", "Unresolved", "pointer"]
