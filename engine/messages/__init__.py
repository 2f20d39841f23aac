"""Messages as values: to whom, by which way, and what may become of them."""

from __future__ import annotations
