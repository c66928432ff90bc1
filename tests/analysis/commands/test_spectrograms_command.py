"""``shiftscope stability --spectrograms``: the sound study's Table III and Fig. 2 for trained networks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")

from analysis import networks  # noqa: E402
from analysis.networks.metrics import score_by_shift, spectrogram_stability, time_patch  # noqa: E402
from analysis.plots import scores_by_shift_figure, spectrogram_shifts_figure  # noqa: E402

BANDS = 96


@pytest.fixture
def arrays(tmp_path):
    """Patches of three recordings of 201 frames and a short one."""
    rng = np.random.default_rng(0)
    x = rng.normal(-40, 10, (4, 201, BANDS)).astype(np.float16)
    patches = np.stack([r[s : s + 101] for r in x for s in (0, 50, 100)])[:-2]  # the last one has one patch
    clips = np.repeat(np.arange(4), 3)[:-2]
    y = np.array([0, 1, 1, 0])
    path = tmp_path / "sound.npz"
    np.savez(path, train_x=patches, train_y=y[clips], test_x=patches, test_y=y[clips], test_clip=clips)
    return path, x[:3]


@pytest.fixture
def files(tmp_path):
    """best.pt of two untrained networks of an eighth of the width."""
    found = {}
    for name in ("vgg41", "vgg41-aps-l1"):
        torch.manual_seed(0)
        model = networks.create(name, classes=2, width=0.125)
        for child in model.modules():
            if isinstance(child, torch.nn.Conv2d | torch.nn.Linear):
                torch.nn.init.kaiming_normal_(child.weight)
        model.eval()
        found[name] = (tmp_path / f"{name}.pt", model)
        about = {"belongs": {"loss": "cross-entropy"}, "mean": (-40.0,), "std": (10.0,)}
        torch.save({"model": model.state_dict()} | about, found[name][0])
    return found


def test_tables_are_those_of_the_metric(shiftscope, arrays, files, tmp_path, empty_figures):
    path, recordings = arrays
    (first, model), (second, _) = files.values()
    out = tmp_path / "out"
    code, printed, errors = shiftscope(
        "stability", "vgg41", "--weights", first, "--beside", f"vgg41-aps-l1={second}", "--spectrograms",
        "--data", path, "--seed", 3, "--out", out,
    )  # fmt: skip
    assert code == 0, errors
    assert "3 recordings" in printed, "the short one is left out"
    table = pd.read_csv(out / "spectrograms.csv").set_index(["network", "protocol"])
    order = [n for n in np.random.default_rng(3).permutation(4).tolist() if n < 3]
    batches = [torch.from_numpy(recordings[n]).float()[None, None] for n in order]
    expected = spectrogram_stability(lambda x: model((x + 40) / 10), batches, seed=3, activation="softmax")
    np.testing.assert_allclose(table.loc["vgg41"].to_numpy(), expected.to_numpy(), rtol=1e-4)
    assert (out / "report.html").is_file() and (out / "scores.csv").is_file()


def test_score_is_that_of_the_moved_patch(arrays, files):
    _, recordings = arrays
    _, model = files["vgg41"]
    spectrogram = torch.from_numpy(recordings[0]).float()[None]
    found = score_by_shift(model, spectrogram, 1, shifts=(0, 2), activation="softmax")
    with torch.no_grad():
        for shift in (0, 2):
            expected = model(time_patch(spectrogram[None], 50, 101, shift)).softmax(1)[0, 1]
            assert found.time[shift] == pytest.approx(float(expected), rel=1e-5)
    assert found.freq[0] == pytest.approx(found.time[0]) and found.freq[2] != found.freq[0]


def test_figures():
    index = pd.MultiIndex.from_product(
        [["a", "b"], ["time-1", "time-3", "freq-1", "freq-3"]], names=["network", "protocol"]
    )
    table = pd.DataFrame({"consistency": np.arange(8.0), "mac": np.arange(8) / 10}, index)
    figure = spectrogram_shifts_figure(table)
    figure.draw_without_rendering()
    assert figure.axes[0].lines[1].get_ydata().tolist() == [4, 5]
    index = pd.MultiIndex.from_product([["a", "b"], [0, 3], range(4)], names=["network", "recording", "shift"])
    scores = pd.DataFrame({"time": np.linspace(0, 1, 16), "freq": np.linspace(1, 0, 16)}, index)
    figure = scores_by_shift_figure(scores)
    figure.draw_without_rendering()
    np.testing.assert_allclose(figure.axes[2].lines[0].get_ydata(), np.linspace(0, 1, 16)[4:8])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("vgg41",), "--weights"),
        (("alexnet", "--weights", "vgg41.pt"), "vgg41"),
        (("vgg41-tlpf5", "--weights", "vgg41.pt"), "vgg41-tlpf5"),
        (("vgg41", "--weights", "vgg41.pt", "--beside", "vgg41-aps-l1"), "NAME=FILE"),
        (("vgg41", "--weights", "none.pt"), "none.pt"),
    ],
)
def test_wrong_options(shiftscope, arrays, files, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    code, _, errors = shiftscope(
        "stability", *arguments, "--spectrograms", "--data", arrays[0], "--out", tmp_path / "out"
    )
    assert code == 2 and told in errors and errors.strip().count("\n") == 0, errors
