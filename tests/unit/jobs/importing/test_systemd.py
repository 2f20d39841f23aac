"""Timers and the services they start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.edit import Rules, create
from jobs.errors import InvalidSchedule, UnreadableSource
from jobs.importing import units
from jobs.importing.report import Report, Weight
from jobs.importing.systemd import read

FILES = Path(__file__).parents[3] / "fixtures" / "import" / "systemd"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SERVICE = "[Service]\nExecStart=/bin/x\n"


def units_of(*names: str) -> dict[str, list[str]]:
    return {name: [(FILES / name).read_text("utf-8")] for name in names}


def of(timer: str, service: str = SERVICE, **more: str) -> Report:
    texts = {"a.timer": [f"[Timer]\n{timer}\n"], "a.service": [service]}
    return read(texts | {k: [v] for k, v in more.items()}, zone="UTC", home="/home/me")


def job(timer: str, service: str = SERVICE) -> dict[str, Any]:
    (entry,) = of(timer, service).entries
    return dict(entry.job)


def held(report: Report) -> list[str]:
    return [one.why for one in report.remarks if one.weight is Weight.HELD]


@pytest.fixture(scope="module")
def backup() -> Report:
    return read(units_of("backup.timer", "backup.service"), zone="UTC", home="/root")


def test_every_calendar_event_is_a_job(backup: Report) -> None:
    first, second = backup.entries
    assert first.key == "import:systemd:backup"
    assert second.key == "import:systemd:backup:2"
    assert first.job["schedule"] == {
        "kind": "cron",
        "expr": "30 2 * * 1-5",
        "tz": "Europe/Berlin",
        "staggerMs": 0,
    }
    assert second.job["schedule"]["expr"] == "0 12 L * *"
    assert second.job["name"] == "Back up the home directories (2)"


def test_a_service_is_one_command(backup: Report) -> None:
    payload = backup.entries[0].job["payload"]
    assert payload["argv"][:2] == ["/bin/sh", "-c"]
    assert payload["argv"][2] == (
        "{ /bin/mkdir -p '/mnt/backup/of backup' || true; }"
        " && /usr/bin/rsync -a --delete --log-file-format=%i /home /mnt/backup"
    )
    assert payload["env"] == {"RSYNC_OPTS": "-a --delete", "TARGET": "/mnt/backup"}
    assert payload["cwd"] == "/srv"
    assert payload["timeoutSeconds"] == 9000


def test_persistent_is_a_catch_up_and_a_random_delay_a_jitter(backup: Report) -> None:
    for entry in backup.entries:
        assert entry.job["misfire"] == {"policy": "run-once", "graceMs": None}
        assert entry.job["jitterMs"] == 600_000
    assert job("OnCalendar=daily")["misfire"] == {"policy": "skip"}


def test_what_a_job_has_not_is_remarked(backup: Report) -> None:
    assert [(one.weight, one.why) for one in backup.remarks] == [
        (Weight.CHANGED, "it ran as backup; here it runs as the gateway does"),
        (Weight.CHANGED, "not taken over: ConditionACPower, Nice"),
    ]


def test_all_jobs_are_accepted_at_the_desk(backup: Report) -> None:
    poll = read(units_of("poll.timer", "poller.service"), zone="UTC")
    for entry in (*backup.entries, *poll.entries):
        create(entry.job, Rules(now=NOW))


def test_a_period_is_a_grid_and_says_so() -> None:
    report = read(units_of("poll.timer", "poller.service"), zone="UTC")
    (entry,) = report.entries
    assert entry.job["schedule"] == {"kind": "every", "everyMs": 90_000}
    assert entry.job["payload"]["argv"][-3:] == ["rm", "{}", ";"]
    assert {one.weight for one in report.remarks} == {Weight.CHANGED}
    assert any("OnBootSec is not taken over" in one.why for one in report.remarks)


@pytest.mark.parametrize(
    ("timer", "why"),
    [
        ("OnBootSec=5min", "a schedule that fires after a start"),
        ("OnStartupSec=1\nOnActiveSec=1", "a schedule that fires after a start"),
        ("Persistent=yes", "neither OnCalendar nor OnUnitActiveSec"),
        ("OnCalendar=someday", "'someday' is no day of the week"),
        ("OnUnitActiveSec=soon", "time span 'soon' cannot be read"),
        ("OnUnitActiveSec=0", "is no period"),
        ("OnCalendar=daily\nUnit=b.service", "its service b.service is not there"),
        ("OnCalendar=daily\nUnit=b.target", "which is no service"),
    ],
)
def test_what_cannot_be_a_job_says_why(timer: str, why: str) -> None:
    report = of(timer)
    assert not report.entries
    (remark,) = report.remarks
    assert why in remark.why
    assert remark.weight is Weight.LEFT_OUT


@pytest.mark.parametrize(
    ("service", "why"),
    [
        ("Type=forking\nExecStart=/bin/x", "starts something that stays"),
        ("RemainAfterExit=yes\nExecStart=/bin/x", "ran once and no second time"),
        ("EnvironmentFile=-/etc/default/x\nExecStart=/bin/x", "are not read here"),
        ("ExecStart=/bin/x ${NOWHERE}", "$NOWHERE is set nowhere"),
        ("ExecStart=/bin/x %t/sock", "%t in '%t/sock' is known to systemd only"),
        ("ExecStart=+/bin/x", "ran with full privileges"),
    ],
)
def test_what_might_do_something_else_is_brought_over_switched_off(service: str, why: str) -> None:
    report = of("OnCalendar=daily", f"[Service]\n{service}\n")
    (entry,) = report.entries
    assert entry.job["enabled"] is False
    assert any(why in said for said in held(report))


@pytest.mark.parametrize(
    ("line", "argv"),
    [
        ("/bin/x a b", ["/bin/x", "a", "b"]),
        ('/bin/x "a b" \'c d\' e\\x20f \\"', ["/bin/x", "a b", "c d", "e f", '"']),
        ("/bin/x $A ${A}/y $$A 100%%", ["/bin/x", "1", "2", "1 2/y", "$A", "100%"]),
        ("@/bin/x name a", ["/bin/x", "a"]),
        (":/bin/x $A", ["/bin/x", "$A"]),
        ("/bin/x %n %N %p %i %h", ["/bin/x", "a.service", "a", "a", "", "/home/me"]),
        ("-/bin/x", ["/bin/sh", "-c", "{ /bin/x || true; }"]),
        ("/bin/x ; /bin/y", ["/bin/sh", "-c", "/bin/x && /bin/y"]),
        ("/bin/x \\; y", ["/bin/x", ";", "y"]),
        ("/bin/x \\\n  y", ["/bin/x", "y"]),
    ],
)
def test_a_line_is_split_as_systemd_splits_it(line: str, argv: list[str]) -> None:
    service = f'[Service]\nEnvironment="A=1 2"\nExecStart={line}\n'
    assert job("OnCalendar=daily", service)["payload"]["argv"] == argv


def test_steps_run_one_after_the_other() -> None:
    service = "[Service]\nExecStartPre=/a\nExecStart=/b\nExecStart=/c\nExecStartPost=-/d\n"
    argv = job("OnCalendar=daily", service)["payload"]["argv"]
    assert argv[2] == "/a && /b && /c && { /d || true; }"


def test_a_condition_command_is_a_gate() -> None:
    service = "[Service]\nExecCondition=/usr/bin/test -e /run/ready\nExecStart=/b\n"
    assert job("OnCalendar=daily", service)["gate"] == {
        "command": ["/usr/bin/test", "-e", "/run/ready"]
    }


def test_a_fixed_delay_is_a_stagger() -> None:
    fixed = job("OnCalendar=daily\nRandomizedDelaySec=1h\nFixedRandomDelay=yes")
    assert fixed["schedule"]["staggerMs"] == 3_600_000
    assert "jitterMs" not in fixed


def test_an_empty_assignment_forgets_what_stood_before() -> None:
    assert job("OnCalendar=daily\nOnCalendar=\nOnCalendar=weekly")["schedule"]["expr"] == (
        "0 0 * * 1"
    )


def test_a_template_is_the_service_of_its_instances() -> None:
    texts = {
        "mail@anna.timer": ["[Timer]\nOnCalendar=daily\n"],
        "mail@.service": ["[Service]\nExecStart=/bin/mail %i\n"],
    }
    (entry,) = read(texts, zone="UTC").entries
    assert entry.job["payload"]["argv"] == ["/bin/mail", "anna"]


def test_what_systemctl_cat_prints_is_taken_apart() -> None:
    text = (
        "# /etc/systemd/system/a.timer\n[Timer]\nOnCalendar=daily\n\n"
        "# /etc/systemd/system/a.timer.d/more.conf\n[Timer]\nOnCalendar=\nOnCalendar=hourly\n"
        "# /usr/lib/systemd/system/a.service\n[Service]\nExecStart=/bin/x\n"
    )
    (entry,) = read(units.apart(text), zone="UTC").entries
    assert entry.job["schedule"]["expr"] == "0 * * * *"
    assert units.apart("[Timer]\n") == {}


@pytest.mark.parametrize("text", ["OnCalendar=daily\n", "[Timer]\nnonsense\n", "[Timer]\n=x\n"])
def test_what_is_no_unit_file_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(UnreadableSource, match="line"):
        read({"a.timer": [text]}, zone="UTC")


def test_one_broken_timer_does_not_hold_up_the_others() -> None:
    texts = {
        "a.timer": ["garbage\n"],
        "b.timer": ["[Timer]\nOnCalendar=daily\n"],
        "b.service": [SERVICE],
    }
    report = read(texts, zone="UTC")
    assert [entry.key for entry in report.entries] == ["import:systemd:b"]
    assert report.remarks[0].where == "a.timer"


def test_without_a_timer_there_is_nothing_to_import() -> None:
    with pytest.raises(UnreadableSource, match="no timer was found"):
        read({"a.service": [SERVICE]}, zone="UTC")


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90", timedelta(seconds=90)),
        ("1h 30min", timedelta(hours=1.5)),
        ("2days12h", timedelta(days=2.5)),
        ("500ms", timedelta(milliseconds=500)),
        ("1.5h", timedelta(hours=1.5)),
        ("1w", timedelta(weeks=1)),
        ("infinity", None),
    ],
)
def test_time_spans_are_those_of_systemd(text: str, span: timedelta | None) -> None:
    assert units.span(text) == span


@pytest.mark.parametrize("text", ["", "x", "1 parsec", "-5", "9" * 30, "1h,"])
def test_what_is_no_time_span_is_refused(text: str) -> None:
    with pytest.raises(InvalidSchedule):
        units.span(text)
