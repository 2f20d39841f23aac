"""What beats and runs were: read from the record, in words."""

from __future__ import annotations
