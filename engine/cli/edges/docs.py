"""`engine docs`: where the documentation lies, and which page has a word (operations.md §1.1)."""

from __future__ import annotations

from pathlib import Path

import click

from engine.cli.ending import dumped
from engine.cli.manual.pages import folder
from jobs.errors import NotFound

_ROOT = Path(__file__).parents[3]


@click.command(epilog="Example: engine docs heartbeat")
@click.argument("words", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(words: tuple[str, ...], as_json: bool) -> None:
    """Pages of the documentation, those with all WORDS first; `engine help` reads them."""
    pages = sorted({*folder().glob("*.md"), *_beside()})
    found = [(_said(page, words), page) for page in pages]
    hits = sorted(((count, page) for count, page in found if count), key=lambda one: -one[0])
    if not hits:
        raise NotFound(
            f"no page says {' '.join(words)}" if words else "no documentation is installed",
            fix="engine help",
        )
    if as_json:
        rows = [{"path": str(page), "title": _title(page)} for _, page in hits]
        click.echo(dumped({"pages": rows}))
        return
    for _, page in hits:
        click.echo(f"{page}: {_title(page)}")


def _beside() -> set[Path]:
    """Pages of the source; what lies beside an installed package is somebody else's."""
    if folder().parent != _ROOT:
        return set()
    return {*_ROOT.glob("*.md"), *_ROOT.glob("*/README.md")}


def _said(page: Path, words: tuple[str, ...]) -> int:
    text = page.read_text("utf-8", "replace").lower()
    counts = [text.count(word.lower()) for word in words]
    return min(counts) if counts else 1


def _title(page: Path) -> str:
    lines = page.read_text("utf-8", "replace").splitlines()
    return next((line.lstrip("# ") for line in lines if line.startswith("# ")), page.name)
