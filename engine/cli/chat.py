"""Words to and from agents and people: `chat`, `agent`, `message send` (protocol.md §10.4–10.6)."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4
from zoneinfo import ZoneInfo

import click

from engine.cli.app import Group
from engine.cli.ask import Line, gateway_options
from engine.cli.ending import dumped
from engine.cli.render import plain, stamp, way_words
from engine.clock import SystemClock
from engine.decisions.troubles import split_fix
from gateway.client import Client
from jobs.errors import EngineError, TimedOut, UsageError
from jobs.wallclock import zone

TURN_MS: Final = 600_000
MAIN: Final = "main"
_WHO: Final = {"user": "you", "assistant": "agent"}
_OVER: Final = frozenset({"final", "error", "aborted"})
_GRACE: Final = timedelta(seconds=5)
_SILENCE: Final = timedelta(seconds=15)  # below the ticks, which would reset a longer wait


# -- talking ---------------------------------------------------------------------------------


@click.command(epilog='Example: engine chat "What did I miss?"')
@click.argument("message", required=False)
@click.option("--agent", "agent_id", metavar="ID", help="Another agent than the default one.")
@click.option("--session", default=MAIN, show_default=True, metavar="KEY", help="Conversation.")
@click.option(
    "--history", type=click.IntRange(1, 1000), metavar="N", help="Only print what was said last."
)
@gateway_options(timeout_ms=TURN_MS)
def chat(
    line: Line, message: str | None, agent_id: str | None, session: str, history: int | None
) -> int:
    """Talk to an agent: one message, or a conversation on a terminal.

    Without MESSAGE it asks again and again; Ctrl-D ends it. Piped text is one message.
    """
    if history is not None:
        key = f"agent:{agent_id}:{session}" if agent_id and ":" not in session else session
        said = line.call("chat.history", {"sessionKey": key, "limit": history})
        line.show(said, lambda told: _conversation(told, zone(line.place.zone)))
        return 0
    if message is None and not sys.stdin.isatty():
        message = sys.stdin.read()
    with line.open() as client:
        if message is not None:
            if not message.strip():
                raise UsageError("there is nothing to say", fix='engine chat "Hello"')
            answer = _said(client, line, message, agent_id, session)
            click.echo(dumped(answer) if line.as_json else plain(answer["text"]))
            return 0
        for words in _typed():
            answer = _said(client, line, words, agent_id, session)
            click.echo(plain(answer["text"]) or "(it said nothing)")
    return 0


def _conversation(told: Mapping[str, Any], where: ZoneInfo) -> str:
    """What was said, a line each, oldest first."""
    lines = [
        f"{stamp(one.get('timestamp'), where)} {_WHO.get(str(one.get('role')), 'agent')}> "
        + plain(text_of(one.get("content")))
        for one in told.get("messages") or ()
    ]
    return "\n".join(lines) or "Nothing was said yet."


def _typed() -> Iterator[str]:
    """What a person types, until the end of input."""
    while True:
        try:
            words = input("you> ").strip()
        except EOFError:
            sys.stdout.write("\n")
            return
        if words in ("/quit", "/exit"):
            return
        if words:
            yield words


def _said(
    client: Client, line: Line, message: str, agent_id: str | None, session: str
) -> dict[str, Any]:
    """Say something and return the answer: ``{runId, text}``."""
    key = str(uuid4())
    params: dict[str, Any] = {
        "sessionKey": session,
        "message": message,
        "idempotencyKey": key,
        "timeoutMs": line.timeout // timedelta(milliseconds=1),
    }
    if agent_id:
        params["agentId"] = agent_id
    started = client.call("chat.send", params, timeout=line.timeout)
    run_id = started.get("runId")
    if run_id is None:  # /stop and its like
        return {"runId": None, "text": "Stopped." if started.get("aborted") else "Nothing ran."}
    return _answer(client, str(run_id), line.timeout + _GRACE)


def _answer(client: Client, run_id: str, within: timedelta) -> dict[str, Any]:
    clock = SystemClock()
    end = clock.monotonic() + within
    while (left := end - clock.monotonic()) > timedelta():
        for event in client.events({"chat"}, timeout=min(left, _SILENCE)):
            told = event.payload or {}
            if told.get("runId") == run_id and told.get("state") in _OVER:
                return _final(run_id, told)
            break  # look at the time again: others' events must not make us wait for ever
    raise TimedOut(
        "the agent has not answered",
        why=f"waited {within.total_seconds():g} s; the turn goes on",
        fix="engine chat again later: the answer is kept in the conversation",
        runId=run_id,
    )


def _final(run_id: str, told: Mapping[str, Any]) -> dict[str, Any]:
    match told["state"]:
        case "error":
            why, fix = split_fix(str(told.get("errorMessage") or "no reason given"))
            raise EngineError("the agent failed", why=why, fix=fix or "engine status", runId=run_id)
        case "aborted":
            raise EngineError("the turn was stopped", fix="engine chat", runId=run_id)
        case _:
            message = told.get("message") or {}
            return {"runId": run_id, "text": text_of(message.get("content"))}


def text_of(content: object) -> str:
    """The text of a message's content."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(p["text"]) for p in parts if isinstance(p, Mapping) and p.get("text"))


@click.command(epilog='Example: engine agent --message "Summarise the day"')
@click.option("--message", required=True, metavar="TEXT")
@click.option("--agent", "agent_id", metavar="ID", help="Another agent than the default one.")
@click.option("--session", "session_key", metavar="KEY", help="Conversation; main otherwise.")
@click.option("--model", metavar="PROVIDER/MODEL")
@click.option("--thinking", metavar="LEVEL")
@click.option("--deliver", is_flag=True, help="Send the answer to a person too.")
@click.option("--channel", metavar="NAME", help="Where to; the last route otherwise.")
@click.option("--to", metavar="PEER", help="Recipient on the channel.")
@click.option("--account", "account_id", metavar="ID")
@gateway_options(timeout_ms=TURN_MS)
def agent(line: Line, message: str, deliver: bool, **given: str | None) -> int:
    """One turn of an agent; waits for its end and prints what it said."""
    if not message.strip():
        raise UsageError("there is nothing to say", fix='engine agent --message "Hello"')
    names = {"agent_id": "agentId", "session_key": "sessionKey", "account_id": "accountId"}
    params: dict[str, Any] = {
        "message": message,
        "idempotencyKey": str(uuid4()),
        "deliver": deliver,
        "timeout": line.timeout.total_seconds(),
        **{names.get(key, key): value for key, value in given.items() if value},
    }
    answer = line.call("agent", params, timeout=line.timeout + _GRACE, final=True)
    line.show(answer, _turn_words)
    return 0 if answer.get("status") == "ok" else 1


def _turn_words(answer: Mapping[str, Any]) -> str:
    result = answer.get("result") or {}
    texts = [str(item.get("text") or "") for item in result.get("payloads") or ()]
    said = "\n".join(plain(text) for text in texts if text)
    if answer.get("status") != "ok":
        return f"{answer.get('status')}: {answer.get('summary') or 'no answer'}"
    return said or "(it said nothing)"


# -- to people -------------------------------------------------------------------------------


@click.group(
    cls=Group,
    epilog='Example: engine message send --to 123456 --message "hello"',
)
def message() -> None:
    """Send a message to a person."""


@message.command(epilog='Example: engine message send --to 123456 --message "hello"')
@click.option("--channel", metavar="NAME", help="The only configured one otherwise.")
@click.option("--to", "--target", "to", required=True, metavar="PEER", help="Who gets it.")
@click.option("--message", "text", metavar="TEXT", help="The words; of a file its caption.")
@click.option(
    "--media", multiple=True, metavar="FILE|URL", help="A file to send along; may be repeated."
)
@click.option("--account", "account_id", metavar="ID", help="Account that sends.")
@click.option("--thread-id", "--thread", metavar="ID", help="Topic of the recipient.")
@click.option("--agent", "agent_id", metavar="ID", help="On whose behalf.")
@click.option("--silent", is_flag=True, help="No sound at the recipient, where the platform can.")
@click.option("--dry-run", is_flag=True, help="Say where it would go, and send nothing.")
@gateway_options()
def send(
    line: Line,
    text: str | None,
    media: tuple[str, ...],
    silent: bool,
    dry_run: bool,
    **given: str | None,
) -> None:
    """Hand one message over for delivery; once per command, whatever the network does."""
    names = {"account_id": "accountId", "thread_id": "threadId", "agent_id": "agentId"}
    if not text and not media:
        raise UsageError(
            "there is no message without --message or --media", fix='add --message "hello"'
        )
    params: dict[str, Any] = {
        "idempotencyKey": str(uuid4()),
        **{names.get(key, key): value for key, value in given.items() if value},
    }
    params |= {"message": text} if text else {}
    params |= {"silent": True} if silent else {}
    if dry_run:  # no file is laid ready for what is not sent
        wish = {"mediaUrls": list(media)} if media else {}
        line.show(line.call("send", {**params, **wish, "dryRun": True}), _dry_words)
        return
    with _laid_ready(line, media) as urls:
        answer = line.call("send", params | ({"mediaUrls": urls} if urls else {}))
    line.show(answer, _sent_words)


@contextmanager
def _laid_ready(line: Line, media: tuple[str, ...]) -> Iterator[list[str]]:
    """Copy files of this machine to where the gateway takes them from; addresses stay.

    A person may send any file they can read; whoever asks the gateway itself may not.
    """
    if all(map(_is_address, media)):
        yield list(media)
        return
    if not line.at_home:
        raise UsageError(
            "the file was not sent",
            why="that gateway is not the one of this home, and reads no files from here",
            fix="give an address, or run the command on the gateway's host",
        )
    from engine.shelf import Shelf

    shelf, copies = Shelf(line.place.paths.media), dict[str, str]()
    try:
        for one in media:
            if not _is_address(one):
                copies[one] = str(shelf.take_now(one, base=Path.cwd(), within=None).path)
        yield [copies.get(one, one) for one in media]
    except EngineError:
        for copy in copies.values():
            Path(copy).unlink(missing_ok=True)
        raise


def _is_address(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


def _dry_words(answer: Mapping[str, Any]) -> str:
    route = answer.get("route") or {}
    told = f"It would go to {way_words(route)}. Nothing was sent."
    return "\n".join(part for part in (told, route.get("warning")) if part)


def _sent_words(answer: Mapping[str, Any]) -> str:
    state, key = answer.get("state") or "accepted", answer.get("messageId")
    told = f"{state}: {answer.get('channel', 'message')}"
    return f"{told} {key}\nNext: engine outbox show {shlex.quote(str(key))}" if key else told
