"""`engine import openclaw`: a whole home of the reference product becomes one of ours.

Read without touching it (`source`), translated by pure functions (`config`, `people`, `routes`),
built beside the home and put in place in one go (`stage`), told line by line (`commands`).
"""

from __future__ import annotations
