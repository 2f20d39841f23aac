"""`engine help`: the pages of `docs/`, in a terminal.

The pages have one home, `docs/` at the root; a wheel carries them as `engine/manual`.
"""

from __future__ import annotations
