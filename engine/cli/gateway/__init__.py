"""`engine gateway`: run it, ask how it is, make it a service."""

from __future__ import annotations
