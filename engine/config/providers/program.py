"""Secrets a program tells: one request, one answer, no shell, an environment of its own (§5).

stdin `{"protocolVersion":1,"provider":…,"ids":[…]}`, stdout
`{"protocolVersion":1,"values":{…},"errors":{…}}`; with `jsonOnly: false` the text is the secret.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from engine.clock import SystemClock
from engine.config.providers import SINGLE, Book, Found, Unresolved, number
from engine.config.providers.file import insecure

PROTOCOL: Final = 1
_TIMEOUT_MS: Final = 5000
_MAX_BYTES: Final = 1_048_576
_CHUNK: Final = 65_536
_SAID: Final = 120  # of what a program says is wrong: it is shown


def look_up(book: Book, alias: str, provider: Mapping[str, Any], ids: Sequence[str]) -> Found:
    """Ask the program for all ids at once, in as many requests as the limit on one demands."""
    if not book.programs:
        return dict.fromkeys(ids, Skipped(f"provider {alias} is a program; it was not run"))
    command = _command(alias, provider)
    ask = _Ask(
        argv=(str(command), *(str(one) for one in provider.get("args") or ())),
        env=_environment(book.env, provider),
        timeout_ms=number(provider, "timeoutMs", _TIMEOUT_MS),
        silence_ms=number(provider, "noOutputTimeoutMs", 0) or None,
        most=number(provider, "maxOutputBytes", _MAX_BYTES),
    )
    if provider.get("jsonOnly", True) is False:
        text = ask.answer(_request(alias, ids)).decode("utf-8", "replace").strip()
        return {SINGLE: text or Unresolved(f"{command.name} printed nothing")}
    found: dict[str, str | Unresolved] = {}
    for some in _batches(alias, ids, book.limits.max_batch_bytes):
        found |= _read(ask.answer(_request(alias, some)), some, command.name)
    return found


class Skipped(Unresolved):
    """A program that was not run, because nobody allowed it here."""

    skipped = True


def _request(alias: str, ids: Sequence[str]) -> bytes:
    wish = {"protocolVersion": PROTOCOL, "provider": alias, "ids": list(ids)}
    return json.dumps(wish).encode()


def _batches(alias: str, ids: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    some: list[str] = []
    for one in ids:
        if some and len(_request(alias, [*some, one])) > most:
            yield some
            some = []
        some.append(one)
    if len(_request(alias, some)) > most:
        raise Unresolved(
            f"a request to {alias} is larger than {most} bytes (secrets.resolution.maxBatchBytes)"
        )
    yield some


def _command(alias: str, provider: Mapping[str, Any]) -> Path:
    """The program, if nobody else could have put it there."""
    path = Path(str(provider.get("command") or ""))
    if not path.is_absolute():
        raise Unresolved(f"secrets.providers.{alias}.command is not an absolute path")
    trusted = [Path(str(one)).expanduser() for one in provider.get("trustedDirs") or ()]
    real = path.resolve()
    inside = any(real.is_relative_to(one.resolve()) for one in trusted)
    if path.is_symlink():
        if provider.get("allowSymlinkCommand") is not True:
            raise Unresolved(f"{path} is a symlink; set allowSymlinkCommand to allow that")
        if not inside:
            raise Unresolved(f"{path} leads to {real}, which lies in none of trustedDirs")
    elif trusted and not inside:
        raise Unresolved(f"{path} lies in none of trustedDirs")
    try:
        status = real.stat()
    except OSError as error:
        raise Unresolved(f"{path} is not there: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode) or not os.access(real, os.X_OK):
        raise Unresolved(f"{path} is not a program")
    if provider.get("allowInsecurePath") is not True and (why := insecure(real, status)):
        raise Unresolved(why)
    return path


def _environment(env: Mapping[str, str], provider: Mapping[str, Any]) -> dict[str, str]:
    """PATH, what is passed on by name, and what the provider says: nothing of ours besides."""
    passed = {name: env[name] for name in ("PATH", *(provider.get("passEnv") or ())) if name in env}
    given = provider.get("env")
    own = given if isinstance(given, Mapping) else {}
    return {**passed, **{str(name): str(value) for name, value in own.items()}}


def _read(raw: bytes, ids: Sequence[str], program: str) -> dict[str, str | Unresolved]:
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError):  # its words would quote the answer
        raise Unresolved(f"{program} did not answer in JSON") from None
    if not isinstance(answer, Mapping) or answer.get("protocolVersion") != PROTOCOL:
        raise Unresolved(f"{program} does not speak protocolVersion {PROTOCOL}")
    values, errors = answer.get("values"), answer.get("errors")
    values = values if isinstance(values, Mapping) else {}
    errors = errors if isinstance(errors, Mapping) else {}
    known = [one for one in values.values() if isinstance(one, str) and one]
    return {one: _one(values, errors, one, program, known) for one in ids}


def _one(
    values: Mapping[str, Any],
    errors: Mapping[str, Any],
    ident: str,
    program: str,
    known: Sequence[str],
) -> str | Unresolved:
    value, error = values.get(ident), errors.get(ident)
    if isinstance(value, str) and value and error is None:
        return value
    said = error.get("message") if isinstance(error, Mapping) else None
    if isinstance(said, str) and said.strip() and not any(one in said for one in known):
        words = " ".join(said.split())[:_SAID]
        return Unresolved(f"{program} has no value for {ident}: {words}")
    return Unresolved(f"{program} has no value for {ident}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ask:
    """One program as it is run: what it may take, say and cost."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    timeout_ms: int
    silence_ms: int | None
    most: int

    def answer(self, request: bytes) -> bytes:
        """What it printed; raises with why there is no answer. Its errors are not shown."""
        name = Path(self.argv[0]).name
        try:
            process = subprocess.Popen(  # noqa: S603 - an absolute path of the operator's config, no shell
                self.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=dict(self.env),
                cwd="/",
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it cannot be started"
            raise Unresolved(f"{name} cannot be started: {why}") from None
        try:
            out = self._talk(process, request, name)
            code = process.wait(timeout=self.timeout_ms / 1000)
        except subprocess.TimeoutExpired:
            raise Unresolved(f"{name} did not end within {self.timeout_ms} ms") from None
        finally:
            _end(process)
        if code:
            raise Unresolved(f"{name} ended with status {code}")
        return out

    def _talk(self, process: subprocess.Popen[bytes], request: bytes, name: str) -> bytes:
        clock, out = SystemClock(), bytearray()
        end = clock.monotonic() + timedelta(milliseconds=self.timeout_ms)
        if process.stdin is None or process.stdout is None:
            raise AssertionError("a program without pipes")
        left = memoryview(request)
        with selectors.DefaultSelector() as select, process.stdin, process.stdout:
            os.set_blocking(process.stdin.fileno(), False)
            select.register(process.stdin, selectors.EVENT_WRITE)
            select.register(process.stdout, selectors.EVENT_READ)
            heard = clock.monotonic()
            while process.stdout in {key.fileobj for key in select.get_map().values()}:
                now = clock.monotonic()
                until = end
                if self.silence_ms is not None:
                    until = min(end, heard + timedelta(milliseconds=self.silence_ms))
                ready = select.select(max((until - now).total_seconds(), 0))
                if not ready and clock.monotonic() >= until:
                    what = "answer" if until == end else "say anything"
                    limit = self.timeout_ms if until == end else self.silence_ms
                    raise Unresolved(f"{name} did not {what} within {limit} ms")
                for key, _ in ready:
                    if key.fileobj is process.stdin:
                        left = _feed(process, left, select)
                        continue
                    chunk = os.read(process.stdout.fileno(), _CHUNK)
                    heard = clock.monotonic()
                    out += chunk
                    if not chunk:
                        select.unregister(process.stdout)
                    if len(out) > self.most:
                        raise Unresolved(f"{name} said more than {self.most} bytes")
        return bytes(out)


def _feed(
    process: subprocess.Popen[bytes], left: memoryview, select: selectors.BaseSelector
) -> memoryview:
    """Hand over what it takes now; one that does not read its input may still answer."""
    stdin = process.stdin
    if stdin is None:
        raise AssertionError("a program without a pipe")
    try:
        left = left[os.write(stdin.fileno(), left[:_CHUNK]) :]
    except BlockingIOError:
        return left
    except BrokenPipeError:
        left = left[len(left) :]
    if not left:
        select.unregister(stdin)
        with contextlib.suppress(BrokenPipeError):
            stdin.close()
    return left


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the whole group; nobody may outlive the answer."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)
