"""The text of a `.env`: what is read, and what an edit leaves as it is."""

from __future__ import annotations

import pytest

from engine.config.env_file import variables_of, with_variables, without_variables

KEY = "-----BEGIN KEY-----\nhush\n-----END KEY-----"
TEXT = f'# mine\nA=1\n\nexport BOT = "{KEY}"\nB=2\n'


def test_other_lines_stay_as_they_are() -> None:
    before = "# mine\nA=1\nexport B=2"
    assert with_variables(before, {"A": "x y", "C": "3"}) == "# mine\nA='x y'\nexport B=2\nC=3\n"


def test_a_value_over_many_lines_is_one_value() -> None:
    assert variables_of(TEXT)["BOT"] == KEY
    assert without_variables(TEXT, {"BOT"}) == "# mine\nA=1\nB=2\n"
    assert with_variables(TEXT, {"BOT": "new"}) == "# mine\nA=1\n\nBOT=new\nB=2\n"


def test_of_a_variable_that_stands_there_twice_the_new_value_holds() -> None:
    assert with_variables("A=1\nB=2\nA=3\n", {"A": "4"}) == "A=4\nB=2\n"


@pytest.mark.parametrize(
    "value",
    [
        *("", "a b", "it's", 'say "x"', "a#b", "$HOME", "back\\slash", "é", KEY, "a\nb"),
        *("two\\\\", "ends in \\", "it's \\n", 'it\'s\n"both"', "a\u2028b", "`x`"),
    ],
)
def test_what_is_written_is_read_again(value: str) -> None:
    assert variables_of(with_variables("", {"A": value})) == {"A": value}
