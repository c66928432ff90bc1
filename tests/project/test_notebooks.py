"""Every notebook runs top to bottom offline, and is committed with its figures and nothing of a machine."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

NARROW = {path.stem for path in NOTEBOOKS if path.stem[:2] in ("00", "01", "02", "05", "06", "07")}


def refresh():
    """Load the script beside the notebooks."""
    spec = importlib.util.spec_from_file_location("refresh", FOLDER / "refresh.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pictures(notebook):
    return [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]


@pytest.mark.notebook
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_and_draws_what_is_committed(path):
    if '"import torch' in path.read_text():
        pytest.importorskip("torch")
    executed = refresh().execute(path)
    assert len(pictures(executed)) == len(pictures(nbformat.read(path, as_version=4)))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_form(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 1_000_000
    assert len(pictures(notebook)) >= 4
    for cell in notebook.cells:
        assert cell.metadata == {}
        assert cell.cell_type != "markdown" or not re.search(r"\\\\[a-z]", cell.source)  # doubled TeX commands
        assert cell.cell_type != "markdown" or not re.search(r"\$\s*ho\b", cell.source)  # a \\rho whose \\r was eaten
        if cell.cell_type == "code":
            assert cell.execution_count is None
            assert len(cell.source.splitlines()) <= 25  # thin: what is longer belongs in the library
            for output in cell.outputs:
                assert output.get("name") != "stderr" and output.output_type != "error"
            if path.stem in NARROW:
                for output in cell.outputs:  # a picture, and not the name of its class beside it
                    assert not {"image/png", "text/plain"} <= set(output.get("data", {}))
                lines = "".join(output.get("text", "") for output in cell.outputs).splitlines()
                assert max(map(len, [*lines, *cell.source.splitlines()]), default=0) <= 100
    assert "/home/" not in path.read_text() and "site-packages" not in path.read_text()


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 6
