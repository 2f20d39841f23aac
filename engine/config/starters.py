"""What a channel and a model need to begin with: one table for `setup` and `onboard`.

operations.md §1.1. Pure: names of keys, questions about them, and what an answer must look like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.config.edit import find, set_text
from engine.config.json5 import parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing a channel cannot do without, or is better off with."""

    key: str  # of its section
    flag: str  # of `engine onboard`
    question: str
    hint: str  # where to get it: the comment in a first file
    form: str = r"\S.*"  # what an answer looks like
    variable: str = ""  # a secret's variable in .env; empty: it is none
    sample: str = ""  # something of that form, while nobody has given it
    several: bool = False  # a list of such
    needed: bool = True

    def fits(self, answer: str) -> bool:
        """Whether an answer looks like one."""
        return re.fullmatch(self.form, answer) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Starter:
    """A channel as somebody meets it first."""

    name: str
    says: str  # in the list of choices
    needs: tuple[Need, ...] = ()
    hears: bool = True  # people write to it, so that `last` can lead there
    chat: str = ""  # what goes before the id of a person, to make the chat with them


_OWNER: Final = "who may write"
STARTERS: Final[Mapping[str, Starter]] = {
    one.name: one
    for one in (
        Starter(name="local", says="the inbox of this machine; no account needed"),
        Starter(
            name="telegram",
            says="a Telegram bot",
            needs=(
                Need(
                    key="botToken",
                    flag="bot-token",
                    question="Token of the bot, from @BotFather",
                    hint="from @BotFather; put it into .env",
                    form=r"\d+:[A-Za-z0-9_-]+",
                    variable="TELEGRAM_BOT_TOKEN",
                    sample="0:not-there-yet",
                ),
                Need(
                    key="allowFrom",
                    flag="owner",
                    question="Your own numeric id; @userinfobot tells it",
                    hint=f"{_OWNER}: numeric ids; @userinfobot tells you yours",
                    form=r"\d+",
                    several=True,
                    needed=False,
                ),
            ),
        ),
        Starter(
            name="qqbot",
            says="a QQ bot",
            chat="c2c:",
            needs=(
                Need(
                    key="appId",
                    flag="app-id",
                    question="AppID of the bot, from q.qq.com",
                    hint="from q.qq.com",
                    form=r"[A-Za-z0-9_-]+",
                    sample="YOUR_APP_ID",
                ),
                Need(
                    key="clientSecret",
                    flag="client-secret",
                    question="AppSecret of the bot, from q.qq.com",
                    hint="from q.qq.com; put it into .env",
                    form=r"\S{4,}",
                    variable="QQBOT_CLIENT_SECRET",
                    sample="not-there-yet",
                ),
                Need(
                    key="allowFrom",
                    flag="owner",
                    question="Your own openid at this bot; empty: you are let in by a code",
                    hint=f"{_OWNER}: openids; engine pairing list shows who asks",
                    form=r"[0-9A-Za-z_-]{4,}",
                    several=True,
                    needed=False,
                ),
            ),
        ),
        Starter(
            name="webhook",
            says="HTTP POST to an address of yours",
            hears=False,
            needs=(
                Need(
                    key="url",
                    flag="webhook-url",
                    question="Address messages are posted to",
                    hint="where messages are posted; put it into .env",
                    form=r"https?://\S+",
                    variable="WEBHOOK_URL",
                    sample="https://localhost/not-there-yet",
                ),
            ),
        ),
        Starter(
            name="apprise",
            says="mail, ntfy, Discord and a hundred more, through apprise",
            hears=False,
            needs=(
                Need(
                    key="urls",
                    flag="apprise-url",
                    question="Address as apprise writes it, such as ntfy://topic",
                    hint="as apprise writes it; put it into .env",
                    form=r"\w+://\S*",
                    variable="APPRISE_URL",
                    sample="json://localhost/not-there-yet",
                    several=True,
                ),
            ),
        ),
    )
}
SAMPLES: Final = {
    need.variable: need.sample for one in STARTERS.values() for need in one.needs if need.variable
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStarter:
    """A provider of models as somebody meets it first."""

    name: str
    says: str
    base_url: str = ""
    api: str = "openai-completions"
    variable: str = ""  # of its key; empty: it needs none
    model: str = ""  # what is suggested


MODELS: Final[Mapping[str, ModelStarter]] = {
    one.name: one
    for one in (
        ModelStarter(name="offline", says="answers by rule; no account, no cost"),
        ModelStarter(
            name="openai",
            says="OpenAI",
            base_url="https://api.openai.com/v1",
            variable="OPENAI_API_KEY",
            model="gpt-5-mini",
        ),
        ModelStarter(
            name="anthropic",
            says="Anthropic",
            base_url="https://api.anthropic.com",
            api="anthropic-messages",
            variable="ANTHROPIC_API_KEY",
            model="claude-haiku-4-5",
        ),
        ModelStarter(
            name="openrouter",
            says="OpenRouter",
            base_url="https://openrouter.ai/api/v1",
            variable="OPENROUTER_API_KEY",
            model="openai/gpt-5-mini",
        ),
        ModelStarter(
            name="ollama",
            says="Ollama on this machine",
            base_url="http://127.0.0.1:11434/v1",
            model="qwen3",
        ),
        ModelStarter(
            name="custom", says="any server that speaks OpenAI's API", variable="MODEL_API_KEY"
        ),
    )
}


def placeholder(need: Need) -> Any:
    """Return what stands for an answer nobody has given yet."""
    if not need.needed and need.several:
        return []
    text = f"${{{need.variable}}}" if need.variable else need.sample
    return [text] if need.several else text


def with_channel(text: str, name: str) -> str:
    """Return the text of a config with a channel in it; one that has it stays as it is."""
    starter = STARTERS[name]
    path = ("channels", name)
    if not starter.needs or find(parse(text if text.strip() else "{}").root, path) is not None:
        return text
    made = set_text(
        text, f"channels.{name}", {need.key: placeholder(need) for need in starter.needs}
    )
    for need in starter.needs:
        if need.needed and need.variable:
            continue  # `engine setup` says where it goes
        written = find(parse(made).root, (*path, need.key))
        if written is None:
            raise AssertionError("it was written a moment ago")
        made = f"{made[: written.end]} /* {need.hint} */{made[written.end :]}"
    return made
