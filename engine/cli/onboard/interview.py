"""The questions themselves, one section after the other; what is configured is the default."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from engine.cli.onboard.questions import Asker, say
from engine.cli.onboard.wishes import BeatWish, ChannelWish, Kept, ModelWish, secret
from engine.cli.place import Place
from engine.config import fast
from engine.config.starters import MODELS, STARTERS, Need, Starter
from jobs.duration import parse_duration
from jobs.errors import UsageError

_HOURS: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)")
_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
ALWAYS: Final = "always"


# -- agent and model -------------------------------------------------------------------------


def agent(asker: Asker, at: Place) -> str:
    """Return the agent that is set up; the first one there is suggested."""
    listed = fast.get(at.values, "agents.list")
    rows = listed if isinstance(listed, list) else ()
    known = [one["id"] for one in rows if isinstance(one, dict) and one.get("id")]
    default = str(known[0]) if known else "main"
    return asker.ask("agent", "Agent", default=default, check=_ident) or default


def model(asker: Asker, at: Place) -> ModelWish | None:
    """Return the model that is to answer; None: what is there stays."""
    there = _primary(at)
    asked = any(asker.given.get(one) for one in ("provider", "model", "api-key", "base-url"))
    if there is not None and not asked:
        keeps = not asker.by_hand or not asker.yes(
            "change-model", f"The model is {there}. Another one?", default=False
        )
        if keeps:
            return None
    default = (there or "offline").partition("/")[0]
    given = asker.given.get("provider")
    choices = {name: one.says for name, one in MODELS.items()}
    if given is None and "/" in str(asker.given.get("model") or ""):
        default = str(asker.given["model"]).partition("/")[0]
    if default not in choices:
        default = "custom" if asker.given.get("base-url") else "offline"
    provider = asker.choose("provider", "Who answers", choices, default)
    if provider == "offline":
        return None if there is None else ModelWish(provider="offline")
    return _model_of(asker, at, provider, there)


def _model_of(asker: Asker, at: Place, provider: str, there: str | None) -> ModelWish:
    starter = MODELS[provider]
    block = fast.get(at.values, f"models.providers.{provider}")
    block = block if isinstance(block, dict) else {}
    url = str(block.get("baseUrl") or starter.base_url)
    if provider in ("custom", "ollama") or asker.given.get("base-url"):
        said = asker.ask(
            "base-url", "Address of the server, with its /v1", default=url or None, check=_url
        )
        url = said or url
    mine = there is not None and there.startswith(f"{provider}/")
    default = str(there).partition("/")[2] if mine else starter.model
    name = asker.ask("model", "Model", default=default or None, check=_model_name) or default
    key: Kept | None = None
    if starter.variable:
        needed = provider != "custom"
        key = _secret(
            asker,
            at,
            flag="api-key",
            question=f"API key ({starter.variable})",
            variable=starter.variable,
            there=block.get("apiKey"),
            needed=needed,
        )
    # "openai/gpt-5" may be written out, as the config has it.
    return ModelWish(
        provider=provider,
        model=name.removeprefix(f"{provider}/"),
        base_url=url,
        key=key,
    )


def _primary(at: Place) -> str | None:
    there = fast.get(at.values, "agents.defaults.model")
    there = there.get("primary") if isinstance(there, dict) else there
    return there if isinstance(there, str) and there.strip() else None


# -- channel ---------------------------------------------------------------------------------


def channel(asker: Asker, at: Place) -> ChannelWish | None:
    """Return the channel to set up; None: those that are there are enough."""
    there = [name for name in STARTERS if isinstance(_section(at, name), dict)]
    if asker.given.get("channel") is None:
        if not asker.by_hand:
            return None
        done = there and all(_complete(at, name) for name in there)
        if done and not asker.yes(
            "change-channel", f"Configured: {', '.join(there)}. Set up one?", default=False
        ):
            return None
    default = there[0] if there else "telegram"
    name = asker.choose(
        "channel", "Channel", {one.name: one.says for one in STARTERS.values()}, default
    )
    return _channel_of(asker, at, STARTERS[name])


def _complete(at: Place, name: str) -> bool:
    section = _section(at, name)
    needed = [need for need in STARTERS[name].needs if need.needed]
    return bool(section.get("accounts")) or all(section.get(need.key) for need in needed)


def _channel_of(asker: Asker, at: Place, starter: Starter) -> ChannelWish:
    section = _section(at, starter.name)
    section = section if isinstance(section, dict) else {}
    account = _account(asker, section)
    accounts = section.get("accounts") if isinstance(section.get("accounts"), dict) else {}
    block: Mapping[str, Any] = (accounts or {}).get(account) or {} if account else section
    fields: dict[str, Any] = {}
    env: dict[str, str] = {}
    owner = None
    for need in starter.needs:
        if need.variable:
            kept = _secret(
                asker, at, flag=need.flag, question=need.question,
                variable=_variable(need, account), there=block.get(need.key), need=need,
            )  # fmt: skip
            if kept is not None:
                fields[need.key] = [kept.written] if need.several else kept.written
                env |= kept.env
            continue
        answer = _plain(asker, need, block.get(need.key))
        if need.flag == "owner":
            owner = answer or _first(block.get(need.key))
        if answer is not None:
            fields[need.key] = _listed(block.get(need.key), answer) if need.several else answer
    return ChannelWish(
        name=starter.name,
        account=account,
        fields=fields,
        env=env,
        owner=owner,
        default_account=_default_account(asker, section, account),
    )


def _account(asker: Asker, section: Mapping[str, Any]) -> str | None:
    known = section.get("accounts")
    if isinstance(known, dict) and known:
        first = str(section.get("defaultAccount") or next(iter(known)))
        return asker.ask("account", f"Account ({', '.join(known)}, or a new one)", default=first)
    if asker.given.get("account"):
        return asker.ask("account", "Account", check=_ident)
    return None


def _default_account(asker: Asker, section: Mapping[str, Any], account: str | None) -> str | None:
    known = section.get("accounts")
    names = [
        *dict.fromkeys(
            [*(known if isinstance(known, dict) else ()), *([account] if account else ())]
        )
    ]
    wanted = asker.given.get("default-account")
    if wanted is None and (len(names) < 2 or section.get("defaultAccount") or "default" in names):
        return None

    def one_of(text: str) -> str:
        if text not in names:
            raise ValueError(f"it is one of {', '.join(names) or 'no accounts'}")
        return text

    return asker.ask(
        "default-account",
        "Account that sends when nothing names one",
        default=names[0] if names else None,
        check=one_of,
    )


def _plain(asker: Asker, need: Need, there: Any) -> str | None:
    default = _first(there) if there and there != need.sample else None
    return asker.ask(
        need.flag,
        need.question,
        default=default,
        check=lambda text: _fitting(need, text),
        stays=not need.needed or default is not None,
    )


def _variable(need: Need, account: str | None) -> str:
    """Every bot has a variable of its own."""
    if account is None:
        return need.variable
    return f"{need.variable}_{re.sub(r'[^A-Z0-9]', '_', account.upper())}"


def _first(value: Any) -> str | None:
    if isinstance(value, list):
        value = value[0] if value else None
    return None if value in (None, "") else str(value)


def _listed(there: Any, answer: str) -> list[Any]:
    known = [str(one) for one in there] if isinstance(there, list) else []
    return known if answer in known else [*known, answer]


def _section(at: Place, name: str) -> Any:
    return fast.get(at.values, f"channels.{name}")


# -- beats -----------------------------------------------------------------------------------


def beat(asker: Asker, at: Place, wish: ChannelWish | None) -> BeatWish:
    """Return when the agent looks by itself, and where its words go."""
    path = "agents.defaults.heartbeat"
    there = fast.get(at.values, path)
    there = there if isinstance(there, dict) else {}
    every = asker.ask(
        "every", "A beat every (0m: never)", default=str(there.get("every") or "30m"), check=_period
    )
    hours = asker.ask(
        "active-hours",
        "Inside which hours (HH:MM-HH:MM, or always)",
        default=_shown_hours(there.get("activeHours"), by_hand=asker.by_hand),
        check=_hours,
        stays=True,
    )
    deaf = wish is not None and not wish.starter.hears
    usual = wish.name if wish is not None and deaf else "last"
    target = asker.ask("target", "Where its words go", default=str(there.get("target") or usual))
    start, _, end = (hours or "").partition("-")
    return BeatWish(
        every=every or "30m",
        hours=(start, end) if end else None,
        target=target or usual,
    )


def _shown_hours(there: Any, *, by_hand: bool) -> str | None:
    if isinstance(there, dict) and there.get("start") and there.get("end"):
        return f"{there['start']}-{there['end']}"
    if there is not fast.MISSING and there is not None:
        return None  # written in a way no question asks for: it stays
    return "08:00-22:00" if by_hand else None


def variables(at: Place) -> Mapping[str, str]:
    """Return the environment and the `.env` of this home, needed by the config or not."""
    from engine.config.load import environment

    return environment(at.environ, state=at.paths.state)[0]


# -- what an answer must be ------------------------------------------------------------------


def _secret(
    asker: Asker,
    at: Place,
    *,
    flag: str,
    question: str,
    variable: str,
    there: Any = None,
    needed: bool = True,
    need: Need | None = None,
) -> Kept | None:
    """Return where a secret stands from now on; None: where it stands already."""
    known = variables(at)
    inherited = f"env:{variable}" if known.get(variable) and there is None else None
    if inherited is not None and asker.given.get(flag) is None:
        say(f"  {variable} is set: it is used.")
        return secret(inherited, variable, plain=False)
    plain = bool(asker.given.get("plain"))

    def check(text: str) -> str:
        head = text.partition(":")[0]
        if head == "env" and not known.get(text[4:]):
            raise ValueError(f"{text[4:]} is not set in this shell, nor in .env")
        if head not in ("env", "ref") and need is not None:
            _fitting(need, text)
        shell = at.environ.get(variable)
        if head not in ("env", "ref") and not plain and shell and shell != text:
            raise ValueError(f"{variable} is set to something else in this shell: unset it first")
        return text

    answer = asker.ask(
        flag, question, check=check, hidden=True, stays=there is not None or not needed
    )
    if answer is None and needed and there is None:
        raise UsageError(
            "nothing was set up", why=f"{question}: there was no answer", fix=f"give --{flag}"
        )
    return None if answer is None else secret(answer, variable, plain=plain)


def _fitting(need: Need, text: str) -> str:
    if not need.fits(text):
        raise ValueError(f"{need.question.partition(',')[0].partition(';')[0]} looks different")
    return text


def _ident(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError("it is lower-case letters, digits, - and _")
    return text


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/]+\S*", text):
        raise ValueError("it is an address such as http://127.0.0.1:11434/v1")
    return text.rstrip("/")


def _model_name(text: str) -> str:
    if not text.strip() or re.search(r"\s", text.strip()):
        raise ValueError("it is the name of a model, without blanks")
    return text.strip()


def _period(text: str) -> str:
    parse_duration(text)
    return text


def _hours(text: str) -> str:
    if text.strip().lower() == ALWAYS:
        return ALWAYS
    start, _, end = text.strip().partition("-")
    if not _HOURS.fullmatch(text.strip()) or start == end:
        raise ValueError("it is HH:MM-HH:MM, such as 08:00-22:00, or always")
    return text.strip()
