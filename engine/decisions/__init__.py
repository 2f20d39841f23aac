"""What is decided about wakes, beats and jobs: functions of facts and `now`. Pure."""

from __future__ import annotations
