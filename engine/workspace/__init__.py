"""The files of a workspace: HEARTBEAT.md, its tasks, who the agent is."""

from __future__ import annotations
