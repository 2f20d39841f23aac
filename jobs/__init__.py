"""WHAT is to be done and WHEN: jobs, schedules, slots. No sockets, no tasks, no clock."""

from __future__ import annotations
