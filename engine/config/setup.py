"""The first config file, with the comments a newcomer needs (operations.md §1.1, L21)."""

from __future__ import annotations

from typing import Any, Final

from engine.config.edit import find, set_text
from engine.config.json5 import parse

VARIABLE: Final = "TELEGRAM_BOT_TOKEN"
WHO: Final = "who may write: numeric ids; @userinfobot tells you yours"
_TELEGRAM: Final[dict[str, Any]] = {"botToken": f"${{{VARIABLE}}}", "allowFrom": []}


def minimal_config_text(*, channel: str | None = None) -> str:
    """A file that starts a gateway and beats every half hour to the last conversation."""
    telegram = (
        f"""    telegram: {{
      botToken: "${{{VARIABLE}}}", // from @BotFather; put it into .env
      allowFrom: [], // {WHO}
    }},"""
        if channel == "telegram"
        else f'    // telegram: {{ botToken: "${{{VARIABLE}}}", allowFrom: ["YOUR_ID"] }},'
        "  // the token goes into .env"
    )
    return f"""{{
  // Every key: engine config schema. Changes are applied live where they can be.
  gateway: {{
    mode: "local", // run the gateway on this machine
  }},
  agents: {{
    defaults: {{
      // model: {{ primary: "openai/gpt-5-mini" }},  // without one, agents answer offline
      heartbeat: {{
        every: "30m",
        target: "last", // where you last wrote to the agent; "none" keeps it silent
        // activeHours: {{ start: "08:00", end: "22:00" }},
      }},
    }},
  }},
  channels: {{
    // The local inbox is always there: engine inbox
{telegram}
  }},
  cron: {{
    jobs: {{
      // "brief": {{ schedule: "0 7 * * *", message: "What is on today?", deliver: "last" }},
    }},
  }},
}}
"""


def with_telegram(text: str) -> str:
    """The text of a config with Telegram in it; one that has it stays as it is."""
    if find(parse(text if text.strip() else "{}").root, ("channels", "telegram")) is not None:
        return text
    made = set_text(text, "channels.telegram", _TELEGRAM)
    listed = find(parse(made).root, ("channels", "telegram", "allowFrom"))
    if listed is None:
        raise AssertionError("it was written a moment ago")
    return f"{made[: listed.end]} /* {WHO} */{made[listed.end :]}"
