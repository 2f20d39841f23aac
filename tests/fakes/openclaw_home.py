"""A whole home of the reference product in its real shapes, made for the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NOW = 1_795_000_000_000
TELEGRAM_TOKEN = "7001:planted-token-of-a-bot"
OPENAI_KEY = "sk-planted-key-of-a-provider"
CONFIG = """\
{
  // the house of ann
  meta: { lastTouchedVersion: "2026.9.6", lastTouchedAt: "2026-10-01T08:00:00.000Z" },
  wizard: { lastRunAt: "2026-09-01T08:00:00.000Z", lastRunCommand: "onboard" },
  gateway: {
    mode: "local", port: 18789, bind: "loopback",
    auth: { mode: "token", token: "${OPENCLAW_GATEWAY_TOKEN}" },
  },
  agents: {
    defaults: {
      workspace: "~/.openclaw/workspace",
      model: { primary: "openai/gpt-5", fallbacks: ["anthropic/claude-sonnet"] },
      heartbeat: { every: "30m", target: "last" }, // as it was
    },
    list: [
      { id: "main", default: true },
      { id: "ops", name: "Ops", workspace: "~/.openclaw/workspace-ops" },
    ],
  },
  bindings: [{ agentId: "ops", match: { channel: "telegram", accountId: "work" } }],
  channels: {
    telegram: {
      accounts: {
        default: { botToken: "${TELEGRAM_BOT_TOKEN}", dmPolicy: "pairing" },
        work: { botToken: "7002:another", dmPolicy: "pairing", streaming: "partial" },
      },
      defaultAccount: "default",
    },
    whatsapp: { allowFrom: ["+15550100"] },
  },
  talk: { interruptOnSpeech: true },
  nobodyKnows: 1,
}
"""
SESSIONS = {
    "agent:main:main": {
        "sessionId": "5b0d7c1e-0000-4000-8000-000000000001",
        "updatedAt": NOW,
        "chatType": "direct",
        "lastChannel": "telegram",
        "lastTo": "telegram:77",
        "lastAccountId": "default",
        "deliveryContext": {"channel": "telegram", "to": "telegram:77", "accountId": "default"},
        "origin": {"label": "Ann", "provider": "telegram"},
    },
    "agent:main:telegram:group:-100500": {
        "sessionId": "5b0d7c1e-0000-4000-8000-000000000002",
        "updatedAt": NOW - 5000,
        "chatType": "group",
        "lastChannel": "telegram",
        "lastTo": "-100500",
        "lastThreadId": 9,
    },
    "agent:main:whatsapp:direct:+15550100": {
        "sessionId": "5b0d7c1e-0000-4000-8000-000000000003",
        "updatedAt": NOW - 9000,
        "lastChannel": "whatsapp",
        "lastTo": "+15550100",
    },
    "agent:main:cron:heart": {"sessionId": "x", "updatedAt": NOW, "lastChannel": "webchat"},
}
JOBS = {
    "version": 1,
    "jobs": [
        {
            "id": "7f9c2a10-0b1d-4c55-9d5a-3f6f0a1b2c3d",
            "agentId": "main",
            "name": "Morning brief",
            "enabled": True,
            "createdAtMs": NOW - 9_000_000,
            "updatedAtMs": NOW - 9_000_000,
            "schedule": {"kind": "cron", "expr": "0 7 * * *", "tz": "Asia/Shanghai"},
            "sessionTarget": "isolated",
            "wakeMode": "now",
            "payload": {"kind": "agentTurn", "message": "Summarise the night"},
            "delivery": {"mode": "announce", "channel": "telegram", "to": "77"},
            "state": {"lastRunAtMs": NOW - 60_000, "lastStatus": "ok"},
        }
    ],
}
RUN = {
    "ts": NOW - 50_000,
    "jobId": "7f9c2a10-0b1d-4c55-9d5a-3f6f0a1b2c3d",
    "action": "finished",
    "status": "ok",
    "summary": "All quiet.",
    "runAtMs": NOW - 60_000,
    "durationMs": 9000,
}
PAIRED = {
    "d1a2": {
        "deviceId": "d1a2",
        "publicKey": "3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "displayName": "ann's laptop",
        "platform": "linux",
        "clientId": "cli",
        "clientMode": "cli",
        "role": "operator",
        "roles": ["operator"],
        "scopes": ["operator.admin"],
        "tokens": {
            "operator": {
                "token": "planted-device-token",
                "role": "operator",
                "scopes": ["operator.admin"],
                "createdAtMs": NOW - 100_000,
            }
        },
        "createdAtMs": NOW - 100_000,
        "approvedAtMs": NOW - 90_000,
    },
    "d9": {"deviceId": "d9"},
}
KEYS = {
    "version": 1,
    "profiles": {
        "openai:default": {"type": "api_key", "provider": "openai", "key": OPENAI_KEY},
        "anthropic:me": {"type": "oauth", "provider": "anthropic", "access": "x"},
    },
}
FILES: dict[str, str | dict[str, Any]] = {
    "openclaw.json": CONFIG,
    ".env": (
        f"# of ann\nTELEGRAM_BOT_TOKEN={TELEGRAM_TOKEN}\n"
        "OPENCLAW_GATEWAY_TOKEN=planted-token-of-the-gateway\nOPENCLAW_STATE_DIR=/elsewhere\n"
    ),
    "agents/main/sessions/sessions.json": SESSIONS,
    "agents/main/sessions/5b0d7c1e-0000-4000-8000-000000000001.jsonl": '{"type":"session"}\n',
    "agents/main/agent/auth-profiles.json": KEYS,
    "cron/jobs.json": JOBS,
    "cron/runs/7f9c2a10-0b1d-4c55-9d5a-3f6f0a1b2c3d.jsonl": f"{json.dumps(RUN)}\n",
    "credentials/telegram-allowFrom.json": {"version": 1, "allowFrom": ["77", "telegram:78"]},
    "credentials/telegram-work-allowFrom.json": {"version": 1, "allowFrom": ["*", "79"]},
    "credentials/whatsapp-allowFrom.json": {"version": 1, "allowFrom": ["+15550100"]},
    "credentials/telegram-pairing.json": {"version": 1, "requests": [{"id": "80", "code": "AB"}]},
    "devices/paired.json": PAIRED,
    "workspace/HEARTBEAT.md": "- look at the build\n",
    "workspace/AGENTS.md": "# Who you are\n",
    "workspace/memory/2026-10-01.md": "It rained.\n",
    "workspace-ops/HEARTBEAT.md": "- look at the disks\n",
    "identity/device.json": {"version": 1},
    "logs/gateway.log": "x\n",
    "openclaw.json.bak": "{}",
    "strange.bin": "?",
}


def openclaw_home(folder: Path) -> Path:
    """Make it."""
    for name, content in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return folder
