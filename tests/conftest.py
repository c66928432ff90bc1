"""What all tests share: which of them this environment can run, and the command line."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import matplotlib
import pytest
from hypothesis import HealthCheck, settings
from shared_data import DATA

# setuptools puts its own distutils in the place of Python's when it is imported. Where a warning that is an
# error here ends that half-way, torch's inductor finds the wrong one: so it happens before any test.
with warnings.catch_warnings(), suppress(ImportError):  # without torch there may be none
    warnings.simplefilter("ignore")
    import setuptools  # noqa: F401

matplotlib.use("Agg")

# The same examples on every run, whatever the machine: the first one may compile, and all are slow on a busy one.
settings.register_profile(
    "shiftscope", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], max_examples=50
)
settings.load_profile("shiftscope")

COMMANDS = Path(__file__).parent / "analysis" / "commands"


def pytest_collection_modifyitems(config, items):
    for item in items:
        if COMMANDS in item.path.parents and "slow" not in item.keywords:
            item.add_marker("command")
        if config.pluginmanager.hasplugin("xdist"):  # a file stays in one process, notebooks go wherever there is room
            notebook = "notebook" in item.keywords
            item.add_marker(pytest.mark.xdist_group(item.name if notebook else str(item.path)))
    items.sort(key=lambda item: "notebook" not in item.keywords)  # the longest first
    if importlib.util.find_spec("dtcwt") is None:
        skip = pytest.mark.skip(reason="needs the package dtcwt")
        for item in items:
            if "oracle" in item.keywords:
                item.add_marker(skip)


@contextmanager
def files_of_at_most(size):
    """Context in which no file grows beyond so many bytes; the system refuses more, as it does on a full disk.

    Python would keep the first bytes of a module it compiles meanwhile, which no later process could import.
    """
    resource = pytest.importorskip("resource")
    before, compiles = resource.getrlimit(resource.RLIMIT_FSIZE), sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        sys.dont_write_bytecode = compiles


@pytest.fixture
def imagenet_sample():
    """Folder of 1000 ImageNet photographs, which most machines do not have."""
    folder = DATA / "imagenet-sample"
    if not folder.is_dir():
        pytest.skip("needs the ImageNet sample (set SHIFTSCOPE_DATA)")
    return folder


@pytest.fixture
def empty_figures(monkeypatch):
    """Figures of reports with nothing in them, where it is not they that matter: drawing takes most of the time."""
    from matplotlib.figure import Figure

    from analysis.reports.writer import Report

    draw = Report.draw

    def emptied(self, figures, *how, **options):
        return draw(self, dict.fromkeys(figures, lambda: Figure((1, 1))), *how, **options)

    monkeypatch.setattr(Report, "draw", emptied)


@pytest.fixture
def shiftscope(monkeypatch, capsys):
    """Run the command line in this process; return (exit code, standard output, standard error)."""
    from analysis.commands.app import main
    from analysis.runs import progress

    monkeypatch.setattr(progress, "START", 3600.0)  # what a log has does not depend on how long imports take

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["shiftscope", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        out = capsys.readouterr()
        return code, out.out, out.err

    return run
