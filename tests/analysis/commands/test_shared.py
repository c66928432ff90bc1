"""Options that every command has, before or behind its name; help, completion, and what the terminal shows."""

from __future__ import annotations

import ctypes
import io
import json
import os
import subprocess
import sys
import webbrowser

import numpy as np
import pytest
import typer
import xarray as xr

from analysis import save
from analysis.commands import app, options, shared
from analysis.reports.writer import Report


@pytest.fixture
def results(tmp_path):
    """Two small results that differ."""
    for name, value in (("a.nc", 1.0), ("b.nc", np.nan)):
        save(xr.Dataset({"x": ("filter", [value])}, attrs={"levels": 1}), tmp_path / name)
    return str(tmp_path / "a.nc"), str(tmp_path / "b.nc")


@pytest.fixture
def a_command(monkeypatch, tmp_path):
    """A command that ends with a report of a small and a large variable; the function sets what it is to do."""
    done = {}

    def command(out: options.Out, strict: options.Strict = False, quiet: options.Quiet = False) -> None:
        """Do a thing that takes very many words to say, so many that no line of a terminal could ever hold them all.

        Details.
        """
        done["quiet"] = quiet
        out.mkdir(exist_ok=True)
        report = Report(out, not quiet, options.skips_shown(quiet))
        if page := done.get("page"):
            (out / "report.html").write_text(page)
        for number in range(done.get("skipped", 0)):
            report.skip(f"{number}.png", "broken")
        values = np.array([0.0, np.nan, 2.0])
        report.datasets["things"] = xr.Dataset(
            {"few": ("kernel", values), "many": ("pixel", np.arange(1000.0))}, attrs={"verdict": "ρ is fine"}
        )
        if not quiet:
            print("A summary.")
        options.finish(report, strict, quiet)

    module = type(sys)("analysis.commands.thing")
    module.command = command
    monkeypatch.setitem(sys.modules, "analysis.commands.thing", module)
    monkeypatch.setattr(app, "COMMANDS", ("thing", "compare"))
    return done


def test_json_is_all_that_is_printed(shiftscope, a_command, tmp_path):
    a_command["skipped"] = 1
    code, printed, errors = shiftscope("thing", "--out", tmp_path / "out", "--json")
    found = json.loads(printed)
    assert (code, errors) == (0, "") and found["skipped"] == ["0.png: broken"]
    things = found["results"]["things"]
    assert things["attributes"]["verdict"] == "ρ is fine"
    assert things["variables"]["few"] == {"dimensions": ["kernel"], "values": [0.0, None, 2.0]}
    assert things["variables"]["many"]["values"] == {"min": 0.0, "median": 499.5, "max": 999.0}


def test_a_command_without_a_summary_answers_in_json_too(shiftscope, monkeypatch, tmp_path):
    def command(out: options.Out) -> None:
        """Make a page."""
        out.write_text("<p>")

    module, shown = type(sys)("analysis.commands.page"), []
    module.command = command
    monkeypatch.setitem(sys.modules, "analysis.commands.page", module)
    monkeypatch.setattr(app, "COMMANDS", ("page", "compare"))
    monkeypatch.setattr(webbrowser, "open", lambda url: not shown.append(url))
    page = tmp_path / "page.html"
    code, printed, errors = shiftscope("page", "--out", page, "--json", "--open")
    assert (code, json.loads(printed), errors, shown) == (0, {"out": str(page)}, "", [page.as_uri()])


def test_json_of_a_comparison_keeps_the_exit_code(shiftscope, results):
    code, printed, errors = shiftscope("compare", *results, "--json")
    assert (code, errors) == (1, "") and json.loads(printed)["agree"] is False


@pytest.mark.parametrize("arguments", [["-q", "thing"], ["thing", "-q"], ["--quiet", "thing"], ["thing", "--quiet"]])
def test_quiet_stands_before_or_behind_the_command(shiftscope, a_command, tmp_path, arguments):
    assert shiftscope(*arguments, "--out", tmp_path / "out") == (0, "", "")
    assert a_command["quiet"] and not shiftscope("thing", "--out", tmp_path / "out")[1] == ""


def test_verbose_names_every_skipped_image_and_every_file(shiftscope, a_command, tmp_path):
    a_command.update(skipped=options.SKIPS_SHOWN + 5, page="<p>")
    out = tmp_path / "out"
    few, many = (shiftscope(*first, "thing", "--out", out)[2] for first in ([], ["-v"]))
    assert few.count("skipped ") + 5 == many.count("skipped ")
    assert str(out / "report.html") in many and str(out / "report.html") not in few
    assert np.__version__ in many


def test_open_shows_the_page_or_else_the_folder(shiftscope, a_command, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(webbrowser, "open", lambda url: shown.append(url) or len(shown) == 1)
    out = tmp_path / "out"
    assert shiftscope("thing", "--out", out)[2] == "" and not shown
    assert shiftscope("thing", "--out", out, "--open")[2] == "" and shown == [out.as_uri()]
    a_command["page"] = "<p>"
    errors = shiftscope("thing", "--out", out, "--open")[2]
    assert shown[1] == (out / "report.html").as_uri() and str(out / "report.html") in errors  # there was no browser


def test_debug_shows_where_an_error_came_from(shiftscope, results):
    code, _, plain = shiftscope("compare", results[0], "missing.nc")
    assert code == 2 and plain.count("\n") == 1
    for arguments in (["--debug", "compare"], ["compare", "--debug"]):
        code, _, whole = shiftscope(*arguments, results[0], "missing.nc")
        assert code == 2 and whole.startswith("Traceback") and whole.endswith(plain)


def test_what_was_asked_for_is_forgotten(shiftscope, results):
    shiftscope("--debug", "-v", "compare", *results)
    shiftscope("compare", *results, "-q")
    assert shared.asked.quiet and not shared.asked.debug and not shared.asked.verbose


@pytest.mark.parametrize(
    ("arguments", "likeliest"),
    [
        (["compar", "a", "b"], "'compare'"),
        (["compare", "--rtoll", "1"], "--rtol"),
        (["compare", "--figur"], "--figure"),
    ],
)
def test_typos_are_answered_by_the_likeliest_name(shiftscope, arguments, likeliest):
    code, printed, errors = shiftscope(*arguments)
    assert (code, printed, errors.count("\n")) == (2, "", 1)
    assert errors.strip().lower().endswith(f"did you mean {likeliest}?")


def test_no_help_is_cut_off(shiftscope, a_command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    code, printed, _ = shiftscope("--help")
    assert code == 0 and "..." not in printed.replace("[ARGS]...", "")
    assert "no line of a terminal could ever hold them all." in " ".join(printed.split())


@pytest.mark.parametrize(("words", "found"), [("shiftscope comp", "compare"), ("shiftscope compare --rt", "--rtol")])
def test_shells_complete_commands_and_options(words, found):
    environment = {"_SHIFTSCOPE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-m", "analysis"], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [found]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "environment", "coloured"), [
    (Terminal(), {}, True),
    (Terminal(), {"NO_COLOR": "1"}, False),
    (Terminal(), {"TERM": "dumb"}, False),
    (io.StringIO(), {}, False),
])  # fmt: skip
def test_colours_are_for_terminals(monkeypatch, stream, environment, coloured):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", stream)
    assert ("\x1b" in shared.paint("x", "error")) == coloured and "x" in shared.paint("x", "error")


@pytest.mark.parametrize("given", [["2", "3"], ["2,3"], ["2,", "3"]])
def test_levels_by_commas_or_one_by_one(given):
    if given == ["2,", "3"]:
        with pytest.raises(ValueError, match="--levels"):
            options.parse_levels(given)
    else:
        assert options.parse_levels(given) == [2, 3]
    assert options.parse_levels(None) is None


def test_every_command_of_the_application_has_the_shared_options():
    commands = typer.main.get_command(app.application()).commands
    assert set(commands) == set(app.COMMANDS)
    for name, command in commands.items():
        names = {name for parameter in command.params for name in parameter.opts}
        assert {"--verbose", "-v", "--debug", "--json"} <= names, name
        assert bool({"--out", "--to"} & names) == ("--open" in names), name
        assert command.get_short_help_str() == " ".join(command.get_short_help_str().split())


def test_freed_memory_is_kept_by_glibc_and_another_library_is_no_error(monkeypatch):
    asked = []

    class Glibc:
        def mallopt(self, parameter, value):
            asked.append((parameter, value))

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Glibc())
    options.keep_freed_memory()
    assert asked == [(-3, 2**30), (-1, 2**30)]  # thresholds of mmap and trim, see mallopt(3)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    options.keep_freed_memory()
