"""Whoever answers a turn: offline, a model, a command-line backend."""

from __future__ import annotations
