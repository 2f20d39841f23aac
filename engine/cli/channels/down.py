"""What the config alone says of channels, while no gateway can be asked (channels.md §12).

Nothing is claimed about a connection: no word here may be read as "it works".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from engine.cli.place import Place
from engine.config import credential_file, fast
from engine.config.variables import expand
from jobs.errors import EngineError

DOWN: Final = "(gateway down)"
FIRST: Final = "The gateway is not running: this is what the config says, and no more."
_DEFAULT: Final = "default"
# What an account needs to be one; the last is the file that may hold it instead.
_NEEDS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "telegram": (("botToken", "tokenFile"),),
    "qqbot": (("appId",), ("clientSecret", "clientSecretFile")),
    "webhook": (("url",),),
    "apprise": (("urls",),),
}
_VARIABLES: Final[Mapping[str, str]] = {
    "botToken": "TELEGRAM_BOT_TOKEN",
    "appId": "QQBOT_APP_ID",
    "clientSecret": "QQBOT_CLIENT_SECRET",
}
_NAMES: Final = {"tg": "telegram", "qq": "qqbot"}


def accounts(place: Place) -> Iterator[tuple[str, str, str]]:
    """Channel, account and what the config makes of it, for every account the file names."""
    found = fast.get(place.values, "channels")
    named = {str(k): v for k, v in found.items()} if isinstance(found, dict) else {}
    named.pop("defaults", None)
    if "local" not in named:
        yield "local", _DEFAULT, "configured"
    for name, section in named.items():
        keys = section if isinstance(section, dict) else {}
        own = keys.get("accounts")
        several = own if isinstance(own, dict) else {}
        channel = _NAMES.get(name, name)
        if not several or any(key in keys for need in _needs(channel) for key in need):
            yield channel, _DEFAULT, _word(channel, _DEFAULT, keys, place)
        for ident, account in several.items():
            over = account if isinstance(account, dict) else {}
            inherited = {key: value for key, value in keys.items() if key == "enabled"}
            yield channel, str(ident), _word(channel, str(ident), {**inherited, **over}, place)


def _needs(channel: str) -> tuple[tuple[str, ...], ...]:
    return _NEEDS.get(channel, ())


def _word(channel: str, ident: str, keys: Mapping[str, Any], place: Place) -> str:
    """The `config` of channels.md §12."""
    if keys.get("enabled") is False:
        return "disabled"
    for need in _needs(channel):
        given = next((key for key in need if keys.get(key)), None)
        variable = _VARIABLES.get(need[0], "")
        if given is None and not (ident == _DEFAULT and place.environ.get(variable)):
            return "not-configured"
        if given is not None and _out_of_reach(given, keys[given], place):
            return "configured-unavailable"
    return "configured"


def _out_of_reach(key: str, value: object, place: Place) -> bool:
    """Whether a file or a variable that should hold a credential holds none."""
    if not isinstance(value, str):
        return False
    if key.endswith("File"):
        return bool(credential_file.fault(value))
    unset = list[str]()
    expand(value, place.variables, unset.append)
    return bool(unset)


def listing(place: Place) -> dict[str, Any]:
    """What `channels status --json` prints then, beside the error."""
    told: dict[str, list[dict[str, Any]]] = {}
    for channel, ident, word in accounts(place):
        account = {"accountId": ident, "config": word, "runtime": "unknown", "connected": False}
        told.setdefault(channel, []).append(account)
    return {
        "configOnly": True,
        "channelOrder": list(told),
        "channelAccounts": told,
        "warnings": warnings(place),
    }


def warnings(place: Place) -> list[str]:
    """What is said of the accounts while the gateway runs too; nothing of a file it cannot use."""
    from engine.config.checks.channels import SHOWN  # reading the whole config takes its time
    from engine.config.load import load

    try:
        notes = load(place.paths.config, place.environ, state=place.paths.state).notes
    except EngineError:
        return []
    return [one.message for one in notes if one.code in SHOWN]
