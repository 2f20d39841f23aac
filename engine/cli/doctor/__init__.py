"""`engine doctor`: what is wrong with an installation, and what mends it (operations.md §10).

`look` gathers facts and is the one edge; `checks` are functions of them; `way` and `unheard`
tell of the way of messages, as `engine why` does; `fixes` mends what a finding says it can.
"""

from __future__ import annotations
