"""Asks the gateway one thing: address, credential, one retry, errors in the operator's words."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import wraps
from typing import Any, Final
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from engine.cli.ending import dumped
from engine.cli.place import Address, Credentials, Place
from gateway.client import CLI, Client
from jobs.errors import AccessRefused, EngineError, GatewayDown, TimedOut

USUAL_MS: Final = 30_000
GREETING_MS: Final = 1_500  # a gateway on this machine greets in milliseconds
_STALE: Final = "note: ENGINE_GATEWAY_TOKEN in your shell is stale; used the {source} token\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How this command reaches its gateway (cron.md §16, shared flags)."""

    place: Place
    url: str | None = None
    port: int | None = None
    token: str | None = None
    password: str | None = None
    timeout: timedelta = timedelta(milliseconds=USUAL_MS)
    greeting: timedelta | None = None  # who does not greet within it is not asked a second time
    as_json: bool = False

    @property
    def address(self) -> Address:
        """Where it calls."""
        return self.place.address(url=self.url, port=self.port)

    @property
    def credentials(self) -> Credentials:
        """What it sends."""
        return self.place.credentials(self.address, token=self.token, password=self.password)

    @property
    def at_home(self) -> bool:
        """Whether the gateway it calls is the one of this home, whose files lie here."""
        elsewhere = self.place.environ.get("ENGINE_GATEWAY_URL", "").strip()
        named = self.address.source in ("--url", "remote")
        if self.address.source == "--port":  # it may be anybody's, unless ours says it is its own
            owner = self.place.owner
            named = owner is None or owner.port != self.port
        return self.address.loopback and not named and not elsewhere

    @contextmanager
    def open(self, *, caps: tuple[str, ...] = ()) -> Iterator[Client]:
        """A connection that has said hello; a stale token of the shell is forgiven once."""
        address = self.address
        credentials = self.place.credentials(address, token=self.token, password=self.password)
        if self._patience(address) is not None and address.url in self.place.mute:
            raise self.place.mute[address.url]
        with _explained(self.place, address, credentials):
            client = self._greeted(address, credentials, caps)
            try:
                yield client
            finally:
                client.close()

    def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: timedelta | None = None,
        final: bool = False,
    ) -> Any:
        """Open, ask one thing, hang up."""
        with self.open() as client:
            return client.call(method, params, timeout=timeout or self.timeout, final=final)

    def show(self, answer: Any, words: Callable[[Any], str]) -> None:
        """Print the answer: JSON if that was asked for, else its words."""
        click.echo(dumped(answer) if self.as_json else words(answer))

    def _greeted(self, address: Address, credentials: Credentials, caps: tuple[str, ...]) -> Client:
        client = self._client(address, credentials, caps)
        try:
            client.open()
        except TimedOut as late:
            self.place.mute[address.url] = late
            raise
        except AccessRefused as refused:
            if credentials.spare is None or not _is_mismatch(refused):
                raise
            client = self._client(address, credentials.spare, caps)
            client.open()
            note = _STALE.format(source=credentials.spare.source)
            if note not in self.place.said:
                self.place.said.add(note)
                sys.stderr.write(note)
        return client

    def _patience(self, address: Address) -> timedelta | None:
        """How long a greeting is waited for, if shorter than an answer: only on this machine."""
        if self.greeting is None or not address.loopback:
            return None
        return min(self.greeting, self.timeout)

    def _client(self, address: Address, credentials: Credentials, caps: tuple[str, ...]) -> Client:
        return Client(
            address.url,
            token=credentials.token,
            password=credentials.password,
            timeout=self.timeout,
            greeting=self._patience(address),
            identity=replace(CLI, caps=caps),
        )


@contextmanager
def _explained(place: Place, address: Address, credentials: Credentials) -> Iterator[None]:
    try:
        yield
    except GatewayDown as down:
        raise _described(_down(down, place, address), address) from down
    except AccessRefused as refused:
        raise _described(_refused(refused, address, credentials), address) from refused
    except EngineError as error:
        raise _described(error, address) from error.__cause__


def _down(down: GatewayDown, place: Place, address: Address) -> GatewayDown:
    """Nothing listens: say it as operations.md §1.4 has it."""
    if "nothing listens" not in down.why:
        return down
    where = urlsplit(address.url).netloc
    start = address.loopback and address.source != "--url"
    fix = f"{place.program} gateway" if start else "start the gateway there, or correct the address"
    if address.source == "--port" and place.owner is not None:
        fix = f"leave --port out: the gateway of this home listens on {place.owner.port}"
    return GatewayDown(
        f"gateway is not running (nothing listens on {where})", fix=fix, cause=down.why
    )


def _refused(refused: AccessRefused, address: Address, sent: Credentials) -> AccessRefused:
    """An address given by hand gets no credential by itself: that must be said."""
    if sent.source == "option" and _is_mismatch(refused):
        name = "--token" if sent.token else "--password"
        other = "on this machine it is found by itself" if address.loopback else "ask its owner"
        return AccessRefused(
            refused.what,
            why=refused.why,
            fix=f"correct {name}, or leave it out: {other}",
            **refused.detail,
        )
    if address.source != "--url" or sent.source != "none":
        return refused
    return AccessRefused(
        refused.what,
        why=f"{refused.why}; with --url no token is sent by itself",
        fix="pass --token",
        **refused.detail,
    )


def _described(error: EngineError, address: Address) -> EngineError:
    error.detail.setdefault("gateway", {"url": address.url, "urlSource": address.source})
    return error


def _is_mismatch(refused: AccessRefused) -> bool:
    error = refused.detail.get("error")
    details = error.get("details") if isinstance(error, Mapping) else None
    return isinstance(details, Mapping) and str(details.get("code", "")).endswith("_MISMATCH")


def gateway_options(
    *, timeout_ms: int = USUAL_MS, greeting_ms: int | None = None, json: bool = True
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the shared flags; it gets a `Line` as its first argument.

    ``greeting_ms`` is for what must tell soon that a gateway is stuck (operations.md §9.5, §10);
    whoever gives --timeout waits as long for the greeting too.
    """
    patience = None if greeting_ms is None else timedelta(milliseconds=greeting_ms)

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def called(*args: Any, **given: Any) -> Any:
            context = click.get_current_context()
            found = context.find_object(Place)
            if found is None:
                raise AssertionError("the place is set before any command runs")
            line = Line(
                place=found,
                url=given.pop("url"),
                port=given.pop("port"),
                token=given.pop("token"),
                password=given.pop("password"),
                timeout=timedelta(milliseconds=given.pop("timeout")),
                greeting=patience if _left_out(context, "timeout") else None,
                as_json=given.pop("as_json", False),
            )
            return command(line, *args, **given)

        return _flagged(called, timeout_ms, json)

    return decorate


def _left_out(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is not ParameterSource.COMMANDLINE


def _flagged(called: Callable[..., Any], timeout_ms: int, json: bool) -> Callable[..., Any]:
    flags = [
        click.option("--url", metavar="WS", help="Gateway to call; then no token by itself."),
        click.option("--port", type=click.IntRange(1, 65535), help="Port on this machine."),
        click.option("--token", help="Credential, when it is not found by itself."),
        click.option("--password", help="Credential, when the gateway asks for a password."),
        click.option(
            "--timeout",
            type=click.IntRange(min=1),
            default=timeout_ms,
            metavar="MS",
            show_default=True,
            help="How long to wait for the answer.",
        ),
    ]
    if json:
        flags.append(click.option("--json", "as_json", is_flag=True, help="Print JSON."))
    for flag in reversed(flags):
        called = flag(called)
    return called
