"""The first config file, with the comments a newcomer needs (operations.md §1.1, L21)."""

from __future__ import annotations

from engine.config.starters import with_channel


def minimal_config_text(*, channel: str | None = None) -> str:
    """A file that starts a gateway and beats every half hour to the last conversation."""
    if channel == "telegram":
        return _FIRST % _TELEGRAM
    text = _FIRST % _NO_TELEGRAM
    return text if channel is None else with_channel(text, channel)


_NO_TELEGRAM = """\
    // telegram: { botToken: "${TELEGRAM_BOT_TOKEN}", allowFrom: ["YOUR_ID"] },\
  // the token goes into .env"""
_TELEGRAM = """\
    telegram: {
      botToken: "${TELEGRAM_BOT_TOKEN}", // from @BotFather; put it into .env
      allowFrom: [], // who may write: numeric ids; @userinfobot tells you yours
    },"""
_FIRST = """{
  // Every key: engine config schema. Changes are applied live where they can be.
  gateway: {
    mode: "local", // run the gateway on this machine
  },
  agents: {
    defaults: {
      // model: { primary: "openai/gpt-5-mini" },  // without one, agents answer offline
      heartbeat: {
        every: "30m",
        target: "last", // where you last wrote to the agent; "none" keeps it silent
        // activeHours: { start: "08:00", end: "22:00" },
      },
    },
  },
  channels: {
    // The local inbox is always there: engine inbox
%s
  },
  cron: {
    jobs: {
      // "brief": { schedule: "0 7 * * *", message: "What is on today?", deliver: "last" },
    },
  },
}
"""
