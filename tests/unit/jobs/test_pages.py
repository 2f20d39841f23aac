"""Pages and previews: what clients of either wire version check."""

from __future__ import annotations

import pytest

from jobs.model import DeliverySpec
from jobs.pages import delivery_preview, page, snapshot


@pytest.mark.parametrize(
    ("count", "offset", "more", "following"),
    [(2, 0, True, 2), (2, 2, True, 4), (1, 4, False, None), (0, 5, False, None)],
)
def test_a_page_says_where_the_next_one_begins(
    count: int, offset: int, more: bool, following: int | None
) -> None:
    made = page("jobs", [{"id": "x"}] * count, total=5, offset=offset, limit=2)
    assert (made["hasMore"], made["nextOffset"]) == (more, following)
    assert (made["offset"], made["limit"], made["total"]) == (offset, 2, 5)


def test_a_mark_knows_what_is_listed_and_not_in_which_order() -> None:
    assert snapshot([("a", "1"), ("b", "2")]) == snapshot([("b", "2"), ("a", "1")])
    assert snapshot([("a", "1")]) != snapshot([("a", "2")])
    assert snapshot([]) != ""


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        (DeliverySpec(), "none"),
        (DeliverySpec(mode="announce"), "announce -> last"),
        (DeliverySpec(mode="announce", channel="local", to="ops"), "announce -> local:ops"),
        (
            DeliverySpec(mode="announce", channel="telegram", to="-100", thread_id="4"),
            "announce -> telegram:-100 (thread 4)",
        ),
        (DeliverySpec(mode="webhook", to="https://x.org"), "webhook -> https://x.org"),
    ],
)
def test_a_preview_says_where_words_would_go(spec: DeliverySpec, label: str) -> None:
    assert delivery_preview(spec, {})["label"] == label


LAST = DeliverySpec(mode="announce", channel="last")


def test_a_preview_of_the_last_route_names_it() -> None:
    way = {"channel": "telegram", "to": "42", "threadId": "7", "via": "last"}
    assert delivery_preview(LAST, way) == {
        "label": "announce -> telegram:42 (thread 7)",
        "detail": "resolved from last",
    }


def test_a_preview_says_why_words_would_go_nowhere() -> None:
    told = delivery_preview(LAST, {"reason": "no-route", "because": "nobody has written yet"})
    assert told == {"label": "announce -> last", "detail": "nobody has written yet"}
    told = delivery_preview(LAST, {"because": "nobody has written yet", "fix": "write to it"})
    assert told["fix"] == "write to it"
