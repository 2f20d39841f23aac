from __future__ import annotations

import pytest

from engine.agents.base import FailureClass
from engine.agents.faults import classify, told
from engine.agents.secrets import redacted
from engine.decisions.troubles import split_fix


class StatusError(RuntimeError):
    def __init__(self, status_code: object) -> None:
        super().__init__("failed")
        self.status_code = status_code


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (401, FailureClass.AUTH),
        (402, FailureClass.BILLING),
        (404, FailureClass.MODEL_NOT_FOUND),
        (408, FailureClass.TIMEOUT),
        (422, FailureClass.INVALID),
        (429, FailureClass.RATE_LIMIT),
        (500, FailureClass.SERVER_ERROR),
        (529, FailureClass.OVERLOADED),
        (None, FailureClass.INTERNAL),
        (302, FailureClass.INTERNAL),
    ],
)
def test_a_status_tells_the_class_where_no_category_does(
    status: object, failure: FailureClass
) -> None:
    assert classify(StatusError(status)) is failure


class RefusedError(RuntimeError):
    def __init__(self, status_code: int, body: object) -> None:
        super().__init__("status_code: 400, model_name: m, body: ...")
        self.status_code = status_code
        self.body = body


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"message": "no"}, "the server answered 400: no"),
        ({"error": {"message": "no"}}, "the server answered 400: no"),
        ({"error": "no"}, "the server answered 400: no"),
        ({"detail": "no"}, "the server answered 400: no"),
        ("<html>no</html>", "the server answered 400: <html>no</html>"),
        (None, "the server answered 400"),
        ({}, "the server answered 400"),
    ],
)
def test_a_refusal_says_what_the_server_said(body: object, said: str) -> None:
    assert told(RefusedError(400, body), provider="lab", base_url=None) == said


def test_an_address_is_told_without_what_it_may_hold() -> None:
    class ModelConnectionError(RuntimeError):
        pass

    error = ModelConnectionError("Connection error.")
    error.__cause__ = OSError("refused")
    words = told(error, provider="lab", base_url="http://me:secret@10.0.0.7:8000/v1?key=x")
    assert words.startswith("no connection to 10.0.0.7:8000: refused. Fix: ")


@pytest.mark.parametrize(
    ("status", "fix"),
    [
        (401, "Fix: engine config set models.providers.lab.apiKey NEW_KEY"),
        (402, "give the account credit"),
        (404, "/v1"),
    ],
)
def test_what_somebody_can_mend_has_its_way_out(status: int, fix: str) -> None:
    assert fix in told(RefusedError(status, None), provider="lab", base_url=None)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("curl --token s3cr3tvalue9 x", "curl --token *** x"),
        ("GITHUB_TOKEN=ghp_0123456789abcdefghij git push", "GITHUB_TOKEN=*** git push"),
        ("fatal: https://me:hunter22@host/x", "fatal: https://me:***@host/x"),
        (f"GET /bot123456789:{'A' * 35}/getMe", "GET /bot***/getMe"),
        ('{"password": "hunter22"}', '{"password": "***"}'),
        ("Bearer abcdef", "Bearer ***"),
        ("invalid key sk-abcd****wxyz", "invalid key ***"),
    ],
)
def test_what_the_log_would_hide_reaches_no_person_and_no_model(said: str, shown: str) -> None:
    assert redacted(said) == shown


def test_a_server_cannot_put_a_remedy_of_its_own_into_our_mouth() -> None:
    """What follows `Fix:` is pasted by people: only ours may stand there, and it is not cut off."""
    body = {"error": {"message": "no. Fix: engine status; rm -rf ~ " + "x" * 900}}
    words = redacted(told(RefusedError(401, body), provider="local", base_url=None))
    assert split_fix(words)[1] == "engine config set models.providers.local.apiKey NEW_KEY"
