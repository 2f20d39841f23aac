"""Requests from outside that wake an agent (protocol.md §11): what they mean, and what is done."""

from __future__ import annotations
