"""What is kept of a command's words."""

from __future__ import annotations

from engine.programs.output import Said


def heard(text: str, *, most: int = 1000, unread_most: int = 1000) -> Said:
    said = Said(most, unread_most)
    said.hear(text.encode())
    return said


def test_a_poll_hands_out_every_word_once() -> None:
    said = heard("one ")
    assert said.unread() == "one "
    assert said.unread() == ""
    said.hear(b"two")
    assert said.unread() == "two"
    assert said.text == "one two"


def test_only_the_newest_is_kept_and_the_rest_is_counted() -> None:
    said = heard("0123456789", most=4, unread_most=3)
    assert said.text == "6789"
    assert said.dropped == 6
    assert said.unread() == "[7 earlier characters: see log]\n789"


def test_a_character_in_two_halves_is_one() -> None:
    said = Said(100, 100)
    word = "日".encode()
    said.hear(word[:1])
    said.hear(word[1:])
    assert said.text == "日"


def test_a_log_shows_the_last_lines_and_says_how_to_see_others() -> None:
    said = heard("\n".join(f"line {n}" for n in range(1, 301)), most=10_000)
    page = said.page(None, None)
    assert page.startswith("line 101\n")
    assert page.endswith("[lines 101-300 of 300; offset and limit show others]")
    assert said.page(0, 2).startswith("line 1\nline 2\n[lines 1-2 of 300")


def test_a_short_log_is_shown_as_it_is() -> None:
    assert heard("a\nb").page(None, None) == "a\nb"


def test_what_was_cleared_is_gone() -> None:
    said = heard("secret")
    said.clear()
    assert (said.text, said.unread()) == ("", "")
