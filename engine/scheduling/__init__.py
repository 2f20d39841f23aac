"""The one desk at which jobs change: RPC, command line, config and the agents' tool."""

from __future__ import annotations

from engine.scheduling.control import Chosen, Control
from engine.scheduling.desk import Scheduling, SchedulingSettings
from engine.scheduling.outlook import Outlook, Sight

__all__ = [
    "Chosen",
    "Control",
    "Outlook",
    "Scheduling",
    "SchedulingSettings",
    "Sight",
]
