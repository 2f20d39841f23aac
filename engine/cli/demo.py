"""`engine demo`: a real gateway in a throwaway home, before the reader's eyes.

Nothing is staged but the agent: it is the `offline` one, so that no account, no model and no
network is needed. The command fails if any of the promised things did not happen.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import click

from engine.clock import SystemClock
from gateway import lock
from gateway.client import Client, ServerEvent
from jobs.errors import EngineError, TimedOut

START_WITHIN: Final = timedelta(seconds=12)
ALL_WITHIN: Final = timedelta(seconds=24)

CONFIG: Final = """{
  gateway: { mode: "local", reload: { mode: "off" } },
  agents: { defaults: { heartbeat: { every: "3s", target: "last" } } },
  cron: {
    jobs: {
      "brief":     { schedule: "every 5s", message: "the morning brief", deliver: "last" },
      "disk-probe": { schedule: "every 6s", command: ["uname", "-s"], deliver: "last" },
    },
  },
}
"""
QUIET: Final = "- Speak up when a build on main turns red.\n"
ALERT: Final = "alert: the build on main is red since 14:02\n"
NOTHING: Final = "# What to watch\n\n<!-- nothing yet -->\n"

STORIES: Final[Mapping[str, str]] = {
    "silent": "a heartbeat that had nothing to say: silent, and on record",
    "alert": "a heartbeat that raises an alert, delivered",
    "skipped": "a beat stopped by a gate, with its reason",
    "job": "a cron job from the config file: an agent turn, its message arrived",
    "command": "a command job: no model asked, its output arrived",
    "event": "engine system event --mode now: the agent woke and answered",
}
ENDING: Final = """
That was a whole engine: one process, one database, and a reason for every silence.

Make it yours:
  engine setup                       a home with a commented config, and HEARTBEAT.md
  engine gateway                     run it; engine heartbeat last tells what it did and why

Connect Telegram: make a bot with @BotFather, find your id with @userinfobot, then
  engine config set channels.telegram.botToken YOUR_BOT_TOKEN
  engine config set channels.telegram.allowFrom '["YOUR_ID"]'
  and write the bot one message: from then on `target: "last"` leads to you.

Connect a model (any OpenAI-compatible server; pip install 'heartbeat-engine[model]'):
  engine config set models.providers.openai.baseUrl https://api.openai.com/v1
  engine config set models.providers.openai.apiKey YOUR_KEY
  engine config set agents.defaults.model.primary openai/gpt-5-mini
"""


@click.command(epilog="Example: engine demo")
def command() -> int:
    """See it work: a throwaway home, a real gateway, no account and no model needed.

    Takes about fifteen seconds; exit status 0 only if everything it promises happened.
    """
    with tempfile.TemporaryDirectory(prefix="engine-demo-") as folder:
        return _Show(Path(folder)).run()


@dataclass
class _Show:
    home: Path
    seen: dict[str, str] = field(default_factory=dict)
    clock: SystemClock = field(default_factory=SystemClock)

    def run(self) -> int:
        """Play it; returns the exit status."""
        self._write("engine.json", CONFIG)
        self._write("workspace/HEARTBEAT.md", QUIET)
        _say("A throwaway home with this config:\n")
        _say(CONFIG)
        with self._gateway() as url:
            _say(f"The gateway runs on {url}. Watch:\n")
            self._watch(url)
            self._ask()
        return self._verdict()

    # -- the process ---------------------------------------------------------------------

    @contextmanager
    def _gateway(self) -> Iterator[str]:
        log = self.home / "gateway.out"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "engine", "gateway", "--port", "0"],
                env=self._environ(),
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            yield self._ready(process, log)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _ready(self, process: subprocess.Popen[bytes], log: Path) -> str:
        from threading import Event as Pause

        deadline = self.clock.now() + START_WITHIN
        while self.clock.now() < deadline and process.poll() is None:
            owner = lock.read(self.home)
            if owner is not None and owner.port is not None:
                return owner.url
            Pause().wait(0.05)
        raise TimedOut(
            "the demo's gateway did not start",
            why=log.read_text("utf-8", errors="replace")[-800:].strip() or "it said nothing",
            fix="engine gateway --verbose, to see it start",
        )

    def _environ(self) -> dict[str, str]:
        ours = {k: v for k, v in os.environ.items() if not k.startswith("ENGINE_")}
        return {**ours, "ENGINE_STATE_DIR": str(self.home), "NO_COLOR": "1"}

    # -- what is shown -------------------------------------------------------------------

    def _watch(self, url: str) -> None:
        token = (self.home / "gateway.token").read_text("utf-8").strip()
        end = self.clock.now() + ALL_WITHIN
        with Client(url, token=token) as client:
            while len(self.seen) < len(STORIES) and (left := end - self.clock.now()) > timedelta():
                try:
                    event = next(client.events({"heartbeat", "chat"}, timeout=left), None)
                except EngineError as error:
                    _say(f"   {error}")
                    return
                if event is None:
                    return
                self._on(event)

    def _on(self, event: ServerEvent) -> None:
        payload = event.payload if isinstance(event.payload, Mapping) else {}
        if event.name == "heartbeat":
            self._beat(payload)
        elif payload.get("inboxId"):
            self._letter(payload)

    def _beat(self, record: Mapping[str, Any]) -> None:
        words = str(record.get("explain", ""))
        asked = "(asked by" in words
        match record.get("status"):
            case "ok-token" if "silent" not in self.seen:
                self._tick("silent", words)
                self._write("workspace/HEARTBEAT.md", ALERT)
                _say("      now HEARTBEAT.md says: " + ALERT.strip())
            case "sent" if not asked and "alert" not in self.seen:
                self._tick("alert", words)
                self._write("workspace/HEARTBEAT.md", NOTHING)
                _say("      now HEARTBEAT.md has only a heading and a comment")
            case "skipped" if "skipped" not in self.seen and "alert" in self.seen:
                self._tick("skipped", words)
                self._event()
            case "sent" if asked:
                self._tick("event", words)

    def _letter(self, payload: Mapping[str, Any]) -> None:
        text = str(payload["message"]["content"][0]["text"])
        key = str(payload.get("runId", ""))
        name = "job" if key.startswith("cfg:brief") else "command"
        if key.startswith("cfg:") and name not in self.seen:
            self._tick(name, f'the inbox received: "{" ".join(text.split())}"')

    def _event(self) -> None:
        text = "The kettle boils in five minutes"
        _say(f'\n$ engine system event --mode now --no-wait --text "{text}"')
        self._engine("system", "event", "--mode", "now", "--no-wait", "--text", text)

    def _ask(self) -> None:
        for words in (
            ("heartbeat", "last"),
            ("heartbeat", "history", "--limit", "6"),
            ("cron", "runs", "--limit", "2"),
        ):
            _say(f"\n$ engine {' '.join(words)}")
            self._engine(*words)

    def _engine(self, *words: str) -> None:
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "engine", *words],
            env=self._environ(),
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        _say((done.stdout + done.stderr).rstrip())
        if done.returncode != 0:
            self.seen.pop("event", None)
            self.seen[f"failed: engine {words[0]}"] = str(done.returncode)

    def _verdict(self) -> int:
        missing = [words for name, words in STORIES.items() if name not in self.seen]
        failed = [name for name in self.seen if name.startswith("failed")]
        if missing or failed:
            _say("\nThis did not happen:\n  " + "\n  ".join([*missing, *failed]))
            return 1
        _say(ENDING)
        return 0

    # -- parts ---------------------------------------------------------------------------

    def _tick(self, name: str, words: str) -> None:
        self.seen[name] = words
        _say(f"\n {len(self.seen)}/{len(STORIES)}  {STORIES[name]}\n      {words}")

    def _write(self, name: str, text: str) -> None:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _say(text: str) -> None:
    click.echo(text)
    sys.stdout.flush()
