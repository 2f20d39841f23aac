"""The process: the composition root, and the order of start and stop.

Contains no decision about behaviour. Rooms: `life` (one process, one gateway after the other),
`leaving` (why it stops), `standing` (what all parts know of it), `parts` (everything wired),
`chores` (what the clockwork rings for), `opening` and `closing` (the orders of operations.md
§6.3 and §7.1), `signals` (what it is told by them), `foothold` (what is kept while one gateway
follows the other), `back` (who is told that it is back), `pulse` (how late the loop is).
"""

from __future__ import annotations
