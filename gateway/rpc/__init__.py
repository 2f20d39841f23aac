"""Methods: a request becomes a call of the core and a reply."""

from __future__ import annotations
