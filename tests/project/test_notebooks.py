"""Every notebook runs top to bottom offline, and is committed with its figures and nothing of a machine."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

NARROW = {path.stem for path in NOTEBOOKS if path.stem[:2] in ("00", "01", "02", "03", "04", "05", "06", "07")}


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


# What is run with smaller numbers here, where those of the reader only make the figures finer.
SMALLER = {
    "03_theorems": {
        "CASES, STARTS = 1000, 2": "CASES, STARTS = 60, 1",
        "for _ in range(12):": "for _ in range(2):",
        "pictures = analysis.bundled_crops(224)": "pictures = analysis.bundled_crops(224)\n"
        "from analysis.prediction import isolated\nisolated.DIRECTIONS = 2",
    },
    "04_first_layer_kernels": {"IMAGES = bundled_crops(colour=True)": "IMAGES = bundled_crops(colour=True)[::4]"},
    "05_pooling_and_aliasing": {
        "STEPS, FURTHER = 200, 40": "STEPS, FURTHER = 120, 40",
        "distance.update(crops[:4])": "distance.update(crops[:1])",
    },
    "07_twin_models": {
        "random_crops(photographs, 64, 32)": "random_crops(photographs, 64, 8)",
        "changes(photographs, stage, shifts)": "changes(photographs[::4], stage, shifts)",
    },
    "10_documents_on_pictures": {"SEEDS, STEPS = range(3), 120": "SEEDS, STEPS = range(2), 40", "mapped=8": "mapped=2"},
    "11_documents_on_sound": {
        "SEEDS, STEPS = range(3), 80": "SEEDS, STEPS = range(2), 20",
        "recordings(240, seed=0), recordings(120, seed=1)": "recordings(60, seed=0), recordings(24, seed=1)",
    },
    "08_where_a_network_aliases": {"bundled_crops(64, colour=True)": "bundled_crops(64, colour=True)[::4]"},
}


@pytest.mark.notebook
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_and_draws_what_is_committed(path):
    if '"import torch' in path.read_text():
        pytest.importorskip("torch")
    import nbformat  # which takes seconds

    executed = refresh().execute(path, SMALLER.get(path.stem))
    assert len(pictures(executed)) == len(pictures(nbformat.read(path, as_version=4)))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_form(path):
    import nbformat

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
