"""Credentials that lie in a file of their own: `tokenFile`, `clientSecretFile` (channels.md §2).

A link may lead elsewhere tomorrow, and a pipe never ends: it is a regular file or none.
"""

from __future__ import annotations

from pathlib import Path


def read(place: str) -> str:
    """Return what lies there, without the blanks around it. Raises `OSError` with why not."""
    path = Path(place).expanduser()
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise OSError(0, "it is no regular file")
        found = path.read_text("utf-8").strip()
    except UnicodeDecodeError:
        raise OSError(0, "it is not UTF-8 text") from None
    if not found:
        raise OSError(0, "it is empty")
    return found


def fault(place: str) -> str:
    """Return why no credential can be read there; '' where one can."""
    try:
        read(place)
    except OSError as error:
        return f"{Path(place).expanduser()} cannot be read: {error.strerror or error}"
    return ""
