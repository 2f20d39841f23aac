"""Questions with defaults: a flag answers, else a person, else what is suggested.

An answer that is none is refused before anything is written: to a person with the reason and
the question once more, to a script as an error of usage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from jobs.errors import EngineError, UsageError

Check = Callable[[str], str]  # returns the answer as it is meant; ValueError says what it must be


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Where answers come from."""

    given: Mapping[str, Any]  # flags by their name
    by_hand: bool  # somebody sits at the terminal

    def ask(
        self,
        flag: str,
        question: str,
        *,
        default: str | None = None,
        check: Check = str,
        hidden: bool = False,
        stays: bool = False,
    ) -> str | None:
        """Return the answer; None where nothing was said and nothing has to be.

        With ``stays`` there is an answer in the config already, which an empty one keeps.
        """
        said = self.given.get(flag)
        if said is not None:
            return self._judged(flag, str(said), check)
        if not self.by_hand:
            if default is None and not stays:
                raise UsageError(
                    "nothing was set up",
                    why=f"{question}: --{flag} is missing",
                    fix=f"add --{flag}, or leave --non-interactive out to be asked",
                )
            return default or None
        while True:
            text = self._prompted(question, default, hidden=hidden, stays=stays)
            if not text:
                return None
            try:
                return check(text)
            except ValueError as error:
                say(f"  That is not it: {error}.")
            except EngineError as error:
                say(f"  That is not it: {error.why or error.what}.")

    def choose(self, flag: str, question: str, choices: Mapping[str, str], default: str) -> str:
        """Return one of these; a person sees what each is."""
        if self.by_hand and self.given.get(flag) is None:
            width = max(map(len, choices))
            for name, says in choices.items():
                say(f"  {name.ljust(width)}  {says}")

        def one_of(text: str) -> str:
            if text.strip().lower() not in choices:
                raise ValueError(f"it is one of {', '.join(choices)}")
            return text.strip().lower()

        answer = self.ask(flag, question, default=default, check=one_of)
        return default if answer is None else answer

    def yes(self, flag: str, question: str, *, default: bool) -> bool:
        """Return whether; a flag may have said so."""
        said = self.given.get(flag)
        if said is not None:
            return bool(said)
        return click.confirm(question, default=default, err=True) if self.by_hand else default

    def _judged(self, flag: str, said: str, check: Check) -> str:
        try:
            return check(said)
        except ValueError as error:
            raise UsageError(
                "nothing was set up", why=f"--{flag}: {error}", fix=f"correct --{flag}"
            ) from error

    def _prompted(self, question: str, default: str | None, *, hidden: bool, stays: bool) -> str:
        if hidden and stays:
            question += " (Enter: it stays)"
        answer = click.prompt(
            question,
            default=default if default is not None else "" if stays or hidden else None,
            show_default=bool(default),
            hide_input=hidden,
            err=True,
        )
        return str(answer).strip()


def say(text: str) -> None:
    """Tell the person at the terminal; results go elsewhere."""
    click.echo(text, err=True)
