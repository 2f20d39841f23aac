"""crontab(5): what becomes of each kind of line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jobs.edit import Rules, create
from jobs.importing.crontab import Reading, read
from jobs.importing.report import Entry, Report, Weight
from jobs.schedule import Cron

FILES = Path(__file__).parents[3] / "fixtures" / "import" / "crontab"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINE = Reading(zone="Europe/Berlin", home="/home/me", user="me", users=frozenset({"root"}))


def of(text: str, how: Reading = MINE) -> Report:
    return read(text, how)


def only(text: str, how: Reading = MINE) -> Entry:
    (entry,) = of(text, how).entries
    return entry


def said(report: Report, where: str) -> list[tuple[Weight, str]]:
    return [(one.weight, one.why) for one in report.remarks if one.where == where]


@pytest.fixture(scope="module")
def user() -> Report:
    return of((FILES / "user.crontab").read_text("utf-8"))


@pytest.fixture(scope="module")
def system() -> Report:
    how = Reading(zone="UTC", name="e2scrub", user="root", users=frozenset({"root", "www-data"}))
    return of((FILES / "system.crontab").read_text("utf-8"), how)


# -- the whole files -----------------------------------------------------------------------------


def test_every_line_is_a_job_or_a_remark(user: Report) -> None:
    assert [entry.where for entry in user.entries] == [
        *("line 9", "line 12", "line 15", "line 16", "line 17", "line 19", "line 22", "line 25")
    ]
    lost = [one.where for one in user.remarks if one.weight is Weight.LEFT_OUT]
    assert lost == ["line 20", "line 23", "line 24"]


def test_what_is_left_out_is_quoted_whole(user: Report) -> None:
    texts = {one.where: one.text for one in user.remarks if one.weight is Weight.LEFT_OUT}
    assert texts["line 20"] == "@reboot warm-up --fast"
    assert texts["line 23"] == "61 * * * * out-of-range"


def test_all_jobs_are_accepted_at_the_desk(user: Report, system: Report) -> None:
    for entry in (*user.entries, *system.entries):
        create(entry.job, Rules(now=NOW))


def test_the_comment_above_is_the_name(user: Report) -> None:
    assert [entry.job["name"] for entry in user.entries] == [
        "Back up the home directory",
        "Invoices",
        "poll",  # a job that was switched off is no title
        "tidy",
        "week.sh",
        "tokyo-report",
        "last-day",
        "first-value-only",
    ]


def test_a_user_column_is_recognised_by_the_users_of_the_host(system: Report) -> None:
    assert [entry.job["payload"]["argv"][2] for entry in system.entries] == [
        "cd / && run-parts --report /etc/cron.hourly",
        "/usr/bin/php /srv/app/artisan schedule:run >> /dev/null 2>&1",
        "/usr/lib/sysstat/debian-sa1 1 1",
        "fstrim -a",
    ]
    assert said(system, "line 4") == [
        (Weight.CHANGED, "it ran as www-data; here it runs as the gateway does")
    ]
    assert not said(system, "line 3")


def test_a_random_delay_is_a_jitter(system: Report) -> None:
    assert {entry.job["jitterMs"] for entry in system.entries} == {1_800_000}


# -- one line ------------------------------------------------------------------------------------


def test_a_command_runs_as_under_cron() -> None:
    job = only("30 2 * * * backup\n").job
    assert job["payload"] == {
        "kind": "command",
        "argv": ["/bin/sh", "-c", "backup"],
        "timeoutSeconds": 0,
        "cwd": "/home/me",
    }
    assert job["schedule"] == {
        "kind": "cron",
        "expr": "30 2 * * *",
        "tz": "Europe/Berlin",
        "staggerMs": 0,
    }
    assert job["misfire"] == {"policy": "skip"}
    assert job["delivery"] == {"mode": "none"}


@pytest.mark.parametrize(
    ("command", "line", "stdin"),
    [
        ("a", "a", None),
        (r"date +\%F", "date +%F", None),
        ("mail%Hello,%World", "mail", "Hello,\nWorld\n"),
        (r"mail%100\%%done", "mail", "100%\ndone\n"),
        ("mail%", "mail", "\n"),
    ],
)
def test_a_percent_sign_ends_the_command(command: str, line: str, stdin: str | None) -> None:
    payload = only(f"* * * * * {command}").job["payload"]
    assert payload["argv"][2] == line
    assert payload.get("input") == stdin


@pytest.mark.parametrize(
    ("line", "env"),
    [
        ("A=b", {"A": "b"}),
        ("A = b c ", {"A": "b c"}),
        ('A="b  c "', {"A": "b  c "}),
        ("'A'='b=c'", {"A": "b=c"}),
        ("A=", {"A": ""}),
        ('A="b', {"A": '"b'}),
        ("TZ=Asia/Tokyo", {"TZ": "Asia/Tokyo"}),
    ],
)
def test_assignments_are_handed_to_the_commands_below(line: str, env: dict[str, str]) -> None:
    first, second = of(f"0 1 * * * x\n{line}\n0 2 * * * y\n").entries
    assert "env" not in first.job["payload"]
    assert second.job["payload"]["env"] == env


def test_shell_and_home_are_those_of_the_line_above() -> None:
    payload = only("SHELL=/bin/zsh\nHOME=/srv\n0 1 * * * x\n").job["payload"]
    assert payload["argv"][0] == "/bin/zsh"
    assert payload["cwd"] == "/srv"


def test_tz_does_not_move_the_schedule_and_says_so() -> None:
    report = of("TZ=Asia/Tokyo\n0 1 * * * x\n")
    assert report.entries[0].job["schedule"]["tz"] == "Europe/Berlin"
    assert "CRON_TZ=Asia/Tokyo" in report.remarks[0].fix


def test_under_a_zone_nobody_knows_jobs_wait_for_a_person() -> None:
    report = of("CRON_TZ=Mars/Olympus\n0 1 * * * x\nCRON_TZ=UTC\n0 2 * * * y\n")
    assert [entry.job.get("enabled") for entry in report.entries] == [False, None]
    assert said(report, "line 1")[0][0] is Weight.HELD


def test_mailed_output_is_remarked_and_kept_in_the_log() -> None:
    assert "mailed to me" in said(of("MAILTO=me\n0 1 * * * x"), "line 1")[0][1]
    assert not said(of('MAILTO=""\n0 1 * * * x'), "line 1")


@pytest.mark.parametrize(
    ("fields", "expr", "both"),
    [
        ("*/7 8-18 * * mon-fri", "*/7 8-18 * * mon-fri", False),
        ("0 0 1,15 * 1", "0 0 1,15 * 1", False),  # either: cron's rule and ours
        ("0 0 */2 * 1", "0 0 */2 * 1", True),  # a star begins the field: both
        ("0 0 13 * */2", "0 0 13 * */2", True),
        ("0 0 */2 * *", "0 0 */2 * *", False),
        ("0 0 * * 7", "0 0 * * 7", False),
        ("*/100 * * * *", "0 * * * *", False),  # a step past the end names the first value
        ("5-20/90 * * * *", "5 * * * *", False),
        ("0~59 * * * *", "H * * * *", False),
        ("5~10 ~ * * *", "H(5-10) H * * *", False),
        ("0 0 1~7 * *", "0 0 H(1-7) * *", False),
        ("0 0 * * 1~5", "0 0 * * H(1-5)", False),
    ],
)
def test_fields_mean_what_they_mean_to_cron(fields: str, expr: str, both: bool) -> None:
    schedule = only(f"{fields} x").job["schedule"]
    assert schedule["expr"] == expr
    assert (schedule.get("dayMatch") == "and") is both


def test_odd_mondays_are_not_every_monday() -> None:
    """vixie's star rule: `0 0 */2 * 1` is Mondays with an odd date."""
    job = create(only("0 0 */2 * 1 x").job, Rules(now=NOW))
    assert isinstance(job.schedule, Cron)
    at, days = NOW, []
    for _ in range(3):
        at = job.schedule.next_after(at) or NOW
        days.append(f"{at.astimezone(ZoneInfo('Europe/Berlin')):%a %d}")
    assert days == ["Mon 09", "Mon 23", "Mon 13"]


@pytest.mark.parametrize(
    ("line", "schedule"),
    [
        ("@hourly x", {"expr": "@hourly"}),
        ("@MIDNIGHT x", {"expr": "@midnight"}),
        ("@every_minute x", {"expr": "* * * * *"}),
        ("@600 x", {"kind": "every", "everyMs": 600_000}),
    ],
)
def test_aliases_are_schedules(line: str, schedule: dict[str, Any]) -> None:
    found = only(line).job["schedule"]
    assert {key: found[key] for key in schedule} == schedule


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("@reboot x", "fires when the host or the gateway starts"),
        ("@fortnightly x", "is no alias cron knows"),
        ("@daily", "has no command"),
        ("1 2 3 4 5", "has no command"),
        ("1 2 3", "neither a job nor NAME=value"),
        ("-", "neither a job nor NAME=value"),
        ("0 0 31 2 * x", "would never fire"),
        ("0 25 * * * x", '"25" is out of range'),
        ("0 0 9~3 * * x", "cannot be read"),
        ("* * * * * %only input", "has no command"),
        ("\x1b[31m", "neither a job"),
    ],
)
def test_what_is_no_job_here_says_why(line: str, why: str) -> None:
    report = of(line)
    assert not report.entries
    assert why in report.remarks[0].why
    assert report.remarks[0].weight is Weight.LEFT_OUT


def test_a_changed_time_is_the_same_job() -> None:
    assert only("0 1 * * * x").key == only("30 4 * * 1 x").key
    assert only("0 1 * * * x").job["id"] == only("30 4 * * 1 x").job["id"]


def test_one_command_at_two_times_is_two_jobs() -> None:
    one, two = of("0 1 * * * x\n0 2 * * * x\n").entries
    assert one.key != two.key
    assert one.job["id"] != two.job["id"]


def test_the_same_command_in_two_files_of_cron_d_is_two_jobs() -> None:
    how = {"zone": "UTC", "user_column": True}
    one = only("0 1 * * * root x", Reading(name="one", **how))  # type: ignore[arg-type]  # a short form
    two = only("0 1 * * * root x", Reading(name="two", **how))  # type: ignore[arg-type]  # a short form
    assert one.key != two.key


def test_windows_line_ends_are_no_part_of_the_command() -> None:
    assert only("0 1 * * * x\r\n").job["payload"]["argv"][2] == "x"


def test_an_empty_crontab_is_an_empty_report() -> None:
    assert of("\n# nothing here\n\n") == Report(kind="crontab")
