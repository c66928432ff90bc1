"""``shiftscope stability --circular``: the BlurPool paper's protocol on arrays, to files."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import analysis  # noqa: E402
from analysis.reports import circular  # noqa: E402
from analysis.reports.circular import circular_report, circular_table, figures  # noqa: E402
from analysis.reports.stored import stored_report  # noqa: E402
from analysis.stability.circular import circular_stability  # noqa: E402

SIDE, CLASSES = 8, 3

FILE = """
import torch
from torch import nn

def tiny():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, padding_mode="circular"), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(96, 3)
    )
    with torch.no_grad():
        model[-1].bias -= model(2 * torch.rand(64, 3, 8, 8) - 1).mean(0)
    return model

def pair():
    return tiny(), lambda x: 2 * x - 1
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


@pytest.fixture
def arrays(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (30, SIDE, SIDE, 3), dtype=np.uint8)
    path = tmp_path / "data.npz"
    np.savez(path, train_x=x[:10], train_y=np.arange(10) % CLASSES, test_x=x[10:], test_y=np.arange(20) % CLASSES)
    return path


def test_command_writes_what_the_function_finds(shiftscope, file, arrays, tmp_path, empty_figures):
    out = tmp_path / "out"
    code, printed, errors = shiftscope(
        "stability", f"{file}:pair", "--data", arrays, "--circular", "--size", SIDE, "--mapped", 3, "--seed", 5,
        "--remedy", "blur3", "--out", out,
    )  # fmt: skip
    assert code == 0, errors
    assert "blur3" in printed and "20 test pictures" in printed
    found = analysis.load(out / "circular.nc")
    model, prepare = analysis.networks.loading.load_network(f"{file}:pair", size=SIDE).model, lambda x: 2 * x - 1
    with np.load(arrays) as stored:
        x = torch.from_numpy(stored["test_x"]).permute(0, 3, 1, 2).float() / 255
        expected = circular_stability(model, prepare(x), torch.from_numpy(stored["test_y"]), mapped=3, seed=5)
    for name in ("accuracy", "accuracy_shifted", "consistency", "variation", "accuracy_by_shift", "adversary"):
        np.testing.assert_allclose(found[name].sel(remedy="plain"), expected[name], rtol=1e-6)
    table = circular_table(found)
    assert table.loc["plain", "consistency"] == pytest.approx(100 * float(expected.consistency))
    assert table.loc["plain", "worst"] == pytest.approx(100 * float(expected.adversary[-1]))
    assert {path.name for path in out.iterdir()} >= {
        "report.html",
        "circular.csv",
        *(f"{n}.png" for n in figures(found)),
    }
    page = tmp_path / "again.html"
    stored_report([out / "circular.nc"], page, figures=False)
    assert all(f"{100 * float(expected.consistency):.1f}" in path.read_text() for path in (page, out / "report.html"))


def test_a_run_that_is_stopped_goes_on(file, arrays, tmp_path, monkeypatch):
    how = {"mapped": 2, "size": SIDE, "progress": False, "figures": False, "remedies": ["blur3"]}
    whole = circular_report(f"{file}:pair", arrays, tmp_path / "a", **how).datasets["circular"]
    measure, count = circular.circular_stability, []

    def breaks(*arguments, **options):
        count.append(1)
        if len(count) == 2:
            raise KeyboardInterrupt
        return measure(*arguments, **options)

    monkeypatch.setattr(circular, "circular_stability", breaks)
    with pytest.raises(KeyboardInterrupt):
        circular_report(f"{file}:pair", arrays, tmp_path / "b", **how)
    again = circular_report(f"{file}:pair", arrays, tmp_path / "b", **how).datasets["circular"]
    assert len(count) == 3, "what was measured is not measured again"
    for name in whole.data_vars:
        assert whole[name].equals(again[name]), name
    with pytest.raises(ValueError, match="seed"):
        circular_report(f"{file}:pair", arrays, tmp_path / "b", seed=1, **how)


def test_figures_are_of_the_result(file, arrays, tmp_path):
    report = circular_report(
        f"{file}:pair", arrays, tmp_path / "a", mapped=2, size=SIDE, progress=False, figures=False, remedies=["blur3"]
    )
    drawn = {name: draw() for name, draw in figures(report.datasets["circular"]).items()}
    assert list(drawn) == ["trade", "map", "adversary", "variation", "smoothness"]
    for figure in drawn.values():
        figure.draw_without_rendering()
    shown = drawn["map"].axes[0].images[0].get_array()
    found = report.datasets["circular"]
    assert shown.shape == (SIDE, SIDE)
    np.testing.assert_allclose(shown, 100 * found.accuracy_by_shift.sel(remedy="plain"))
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in drawn["variation"].axes)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--circular",), "--data"),
        (("--data", "data.npz"), "--images"),
        (("--circular", "--data", "data.npz", "--images", "."), "--images"),
        (("--circular", "--data", "data.npz"), "8×8"),
        (("--circular", "--data", "no.npz", "--size", "8"), "no.npz"),
        (("--circular", "--data", "data.npz", "--size", "8", "--remedy", "blurr3"), "blur3"),
    ],
)
def test_wrong_options(shiftscope, file, arrays, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    name = "tiny" if "8" in arguments else "any_size"
    if name == "any_size":
        file.write_text(
            FILE
            + "\ndef any_size():\n    return nn.Sequential(nn.Conv2d(3, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
        )
    code, _, errors = shiftscope("stability", f"{file}:{name}", "--out", tmp_path / "out", *arguments)
    assert code == 2 and told in errors and errors.strip().count("\n") == 0, errors
