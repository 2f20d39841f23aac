"""Durable jobs and runs, and the one connection layer every store shares."""

from __future__ import annotations
