"""`engine status`: looked at (`view`), told (`words`), pasted (`paste`)."""

from __future__ import annotations
