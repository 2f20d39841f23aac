"""`engine channels`: accounts, ways and their health."""

from __future__ import annotations
