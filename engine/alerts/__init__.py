"""Trouble in words, and whom it is told."""

from __future__ import annotations
