"""Schedules as texts: when they run, how they are quoted, and what of a crontab is touched."""

from __future__ import annotations

import plistlib
import shlex
import subprocess

import pytest

from eventsync.errors import InvalidArgument, ScheduleFailed
from eventsync.schedule import Job, When, agent, checked, cron_line, daily_at, every, marks, units, with_block

ORIGIN, OTHER = "es1" + "a" * 32, "es1" + "b" * 32
ODD = '/srv/ada/100% $mine/it\'s "here" \\ there'


def job(path: str = ODD) -> Job:
    return Job(ORIGIN, ("/opt/my tools/eventsync", "--store", path, "sync", "--quiet"), {"EVENTSYNC_DATA_DIR": path})


@pytest.mark.parametrize(
    ("span", "runs"),
    [("1m", 1440), ("5m", 288), ("30m", 48), ("60m", 24), ("1h", 24), ("6h", 4), ("1d", 1), ("24h", 1)],
)
def test_so_often_in_a_day_and_at_even_distances(span: str, runs: int) -> None:
    for origin in (ORIGIN, OTHER, "es1c"):
        when = every(span, origin)
        hours = range(24) if when.hours is None else when.hours
        at = [60 * hour + minute for hour in hours for minute in when.minutes]
        assert len(at) == runs
        assert {(b - a) % 1440 for a, b in zip(at, [*at[1:], at[0]], strict=True)} <= {1440 // runs % 1440}
        assert all(0 <= minute < 1440 for minute in at)


def test_stores_do_not_all_come_at_once_and_each_comes_at_its_own_time_again() -> None:
    minutes = {every("1h", f"es1{number}").minutes for number in range(50)}
    assert len(minutes) > 20
    assert every("1h", ORIGIN) == every("1h", ORIGIN)


@pytest.mark.parametrize("span", ["7m", "90m", "5h", "2d", "0m", "1w", "x", "", "-1h", "1440m0"])
def test_what_divides_no_day_is_refused(span: str) -> None:
    with pytest.raises(InvalidArgument):
        every(span, ORIGIN)


def test_a_time_of_day_is_taken_as_it_is() -> None:
    assert daily_at("02:30") == When((2,), (30,))
    for text in ("24:00", "2:3", "02:60", "02:30\n* * * * * rm", "noon"):
        with pytest.raises(InvalidArgument):
            daily_at(text)


def test_a_shell_gets_every_word_of_a_cron_line_as_it_is() -> None:
    line = cron_line(job(), When((2, 8), (17,)))
    assert line.startswith("17 2,8 * * * EVENTSYNC_DATA_DIR=")
    words = line.split(" ", 5)[5]
    assert "%" not in words.replace("\\%", "")
    typed = words.replace("\\%", "%")  # as cron hands it to the shell
    assert shlex.split(typed) == [f"EVENTSYNC_DATA_DIR={ODD}", *job().command]
    shown = typed.replace(shlex.quote(job().command[0]), "printf '%s\\n'", 1)
    told = subprocess.run(["/bin/sh", "-c", shown], capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == list(job().command[1:])


def test_units_hold_words_as_systemd_reads_them() -> None:
    service, timer = units(job(), When(None, (3, 33))).values()
    path = '/srv/ada/100%% {}mine/it\'s \\"here\\" \\\\ there'
    assert f'"--store" "{path.format("$$")}" "sync"' in service
    assert f'Environment="EVENTSYNC_DATA_DIR={path.format("$")}"' in service
    assert "OnCalendar=*-*-* *:03,33:00\n" in timer
    assert "OnCalendar=*-*-* 02,08:17:00\n" in units(job(), When((2, 8), (17,)))[f"{job().unit}.timer"]


def test_a_launch_agent_is_a_property_list() -> None:
    (text,) = agent(job(), When((2,), (3, 33))).values()
    value = plistlib.loads(text.encode())
    assert value["ProgramArguments"] == list(job().command)
    assert value["StartCalendarInterval"] == [{"Hour": 2, "Minute": 3}, {"Hour": 2, "Minute": 33}]


@pytest.mark.parametrize("path", ["/a\n* * * * * rm -rf ~", "/a\x1b[2J", "/a\u202eb", "/a\x00"])
def test_a_path_that_would_be_more_than_a_word_is_refused(path: str) -> None:
    with pytest.raises(InvalidArgument):
        checked(job(path))


# --- crontabs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [b"", b"# mine\n", b"1 2 * * * x", b"\xff\xfe\n\n0 0 * * * y\r\n"])
def test_every_other_byte_of_a_crontab_stays(before: bytes) -> None:
    joint = b"" if not before or before.endswith(b"\n") else b"\n"
    with_it = with_block(before, [ORIGIN], "1 * * * * a")
    assert with_it.startswith(before + joint)
    assert with_block(with_it, [ORIGIN], "1 * * * * a") == with_it
    assert with_block(with_it, [ORIGIN], None) == before + joint
    more = with_it + b"5 5 * * * later\n"
    assert with_block(more, [ORIGIN], "1 * * * * a") == more
    assert with_block(more, [ORIGIN], "2 * * * * b") == more.replace(b"1 * * * * a", b"2 * * * * b")


def test_the_block_of_another_store_stays_and_that_of_a_former_identity_goes() -> None:
    both = with_block(with_block(b"", [ORIGIN], "1 * * * * a"), [OTHER], "2 * * * * b")
    assert b"* a\n" in both
    assert with_block(both, [OTHER], None) == with_block(b"", [ORIGIN], "1 * * * * a")
    assert with_block(both, [OTHER, ORIGIN], "2 * * * * b") == with_block(b"", [OTHER], "2 * * * * b")


@pytest.mark.parametrize("number", [0, 1])
def test_a_mark_without_its_other_half_stops_it(number: int) -> None:
    mark = marks(ORIGIN)[number]
    for crontab in (f"{mark}\nx\n", f"{mark}\n{mark}\n", "\n".join(reversed(marks(ORIGIN))) + "\n"):
        with pytest.raises(ScheduleFailed, match="no pair"):
            with_block(crontab.encode(), [ORIGIN], None)
