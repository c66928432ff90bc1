"""Bars: plain lines in a log, one line on a terminal, what is left, and what an earlier run has done."""

from __future__ import annotations

import io
import re
from threading import Timer
from types import SimpleNamespace

import pytest

from analysis.runs import progress
from analysis.runs.progress import Bar, plan, track


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [100.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    plan({})
    yield now
    plan({})
    progress.erase()


@pytest.fixture
def log(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stream))
    return stream


@pytest.fixture
def terminal(monkeypatch):
    stream = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stream))
    return stream


def test_a_log_has_plain_lines_a_tenth_each(clock, log):
    with Bar("images", 200, "images") as bar:
        for _ in range(200):
            clock[0] += 0.5
            bar.update()
    text = log.getvalue()
    assert "\r" not in text and text.endswith("\n")
    shown = [int(number) for number in re.findall(r"^images: \d+% (\d+)/200 images", text, re.MULTILINE)]
    assert shown == list(range(0, 201, 20))


def test_a_log_hears_of_slow_work_and_of_what_is_left(clock, log):
    with Bar("images", 1000, "images") as bar:
        clock[0] += progress.SILENCE
        bar.update(30)
        assert log.getvalue().splitlines()[-1] == "images: 3% 30/1000 images, 1:00 gone, 32:20 left"


def test_what_an_earlier_run_did_is_where_the_bar_starts_and_no_speed(clock, log):
    bar = Bar("images", 100, "images", resumes=True)
    bar.update(60, before=True)
    assert log.getvalue() == ""
    clock[0] += 2
    bar.update(20)
    assert log.getvalue() == "images: 80% 80/100 images, 0:02 gone, 0:02 left\n"
    bar.close()
    assert log.getvalue().count("\n") == 1  # what was shown is not shown again


def test_what_is_left_includes_the_steps_that_a_plan_has_behind(clock, log):
    plan({"images": None, "predict": 5, "figures": 10})
    bar = Bar("images", 100)
    clock[0] += 10
    bar.update(50)
    assert "[1/3]" in bar.line() and bar.line().endswith("0:25 left")
    bar.update(50)
    bar.close()
    assert "[3/3]" in Bar("figures", 2).line()  # a step that did not come is left out
    assert "[" not in Bar("unforeseen", 2).line()


def test_a_terminal_has_one_line_that_is_never_wider_than_it(clock, terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    with Bar("images", 4, "images") as bar:
        for _ in range(4):
            clock[0] += 1
            bar.update()
        progress.say("skipped x.png")
        bar.update(0)
    text = terminal.getvalue()
    assert all(len(part.rstrip("\n")) < 40 for part in re.split("[\r\n]", text))
    before, _, after = text.partition("skipped x.png\n")
    assert before.endswith("\r") and after.startswith("\r") and text.endswith("\n")
    assert text.count("\n") == 2


def test_a_plan_leaves_nothing_on_the_terminal(clock, terminal):
    plan({"images": None, "figures": 1})
    for name in ("images", "figures"):
        assert list(track([1, 2], name)) == [1, 2]
    assert "\n" not in terminal.getvalue()
    assert terminal.getvalue().rpartition("\r")[2] == ""


def test_a_dumb_terminal_is_a_log(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    list(track(range(3), "x"))
    progress.starting("x")
    progress.erase()
    assert "\r" not in terminal.getvalue() and "x: 100% 3/3 steps" in terminal.getvalue()


def test_a_log_is_told_of_a_start_that_takes_its_time(log, monkeypatch):
    timers = []

    class Kept(Timer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            timers.append(self)

    monkeypatch.setattr(progress, "Timer", Kept)
    monkeypatch.setattr(progress, "START", 0.0)
    progress.starting("w")
    assert not timers  # a command without steps prints what it has to say at once
    progress.starting("x")
    plan({"y": None})
    timers[0].join(60)
    assert log.getvalue() == "x: starting\n"
    monkeypatch.setattr(progress, "START", 3600.0)
    progress.starting("x")
    plan({"y": None})
    list(track(range(3), "y"))
    plan({})
    timers[1].join(60)  # called off by what came before it
    assert not timers[1].is_alive() and log.getvalue().count("x: starting") == 1


def test_nothing_is_shown_unless_asked_for(clock, log):
    with Bar("x", 3, progress=False) as bar:
        bar.update(3)
    assert log.getvalue() == "" and bar.n == 3


def test_an_unknown_total_has_no_share(clock, log):
    with Bar("x", unit="images") as bar:
        bar.update(7)
    assert log.getvalue().splitlines()[-1] == "x: 7 images"


def test_bars_inside_an_overall_one_are_parts_of_its_next_unit(clock, log):
    plan({"runs": None, "figures": 10})
    with Bar("runs", 4, "runs", before=1, overall=True) as runs:
        inner = Bar("training", 10, "batches", resumes=True)
        inner.update(5, before=True)  # by an earlier run: no speed
        clock[0] += 60
        inner.update(4)
        assert runs.line() == "[1/2] runs: 48% 1/4 runs, 1:00 gone, 5:25 left, training 9/10 batches"
        inner.update(1)
        inner.close()
        clock[0] += 15
        runs.update()
        assert "50% 2/4" in runs.line() and "training" not in runs.line()
    lines = log.getvalue().splitlines()
    assert all(line.startswith("[1/2] runs: ") for line in lines) and len(lines) < 6
    with Bar("figures", 1, "figures") as bar:
        bar.update()
    assert log.getvalue().splitlines()[-1].startswith("[2/2] figures: 100%")
