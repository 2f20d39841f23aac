"""`engine config`: read and change the file."""

from __future__ import annotations
