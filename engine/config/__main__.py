"""`python -m engine.config` brings the table of keys in README.md up to date."""

from __future__ import annotations

from pathlib import Path

from engine.config.docs import readme

if __name__ == "__main__":
    README = Path(__file__).with_name("README.md")
    README.write_text(readme(README.read_text("utf-8")), "utf-8")
