"""Durable state of the engine: events, sessions, routes, outbox, tasks, audit."""

from __future__ import annotations
