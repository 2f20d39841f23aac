"""`gateway status`: looked at (`look`, with `host` for the machine), told (`words`), §9.1–§9.3."""

from __future__ import annotations
