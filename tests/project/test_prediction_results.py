"""Held-out predictions of kernels: one half of the photographs predicts, the other is measured."""

from __future__ import annotations

import numpy as np
from PIL import Image

from analysis.kernels import gabor
from scripts import prediction_results


def test_band_pass_kernels_alone_are_predicted_and_measured(tmp_path, monkeypatch):
    (tmp_path / "imagenet-sample").mkdir()
    (tmp_path / "weights").mkdir()
    rng = np.random.default_rng(0)
    for index in range(3):
        pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).resize((224, 224)).save(tmp_path / "imagenet-sample" / f"{index}.png")
    waves = [[1, 0, 0.2, 1.6, 3, 3, 1.7, 1.7, 0], [1, 0, 1.2, 1.2, 3, 3, 1.7, 1.7, 0]]
    planes = [gabor(np.array(wave, float), (7, 7)) for wave in waves]
    planes.insert(1, np.outer(np.hanning(9)[1:-1], np.hanning(9)[1:-1]))  # low-pass: left out
    np.save(tmp_path / "weights" / "net.npy", np.repeat(np.stack(planes)[:, None], 3, axis=1))
    monkeypatch.setitem(prediction_results.LAYERS, "net", ("net.npy", {"stride": 4}))
    frame = prediction_results.predicted_and_measured("net", tmp_path)
    assert frame.kernel.tolist() == [0, 2]
    assert (frame.spectrum_n == 2).all() and (frame.n == 1).all()
    # The gratings see noise that is nearly Gaussian: both models are near what is measured.
    for model in prediction_results.MODELS:
        np.testing.assert_allclose(frame[f"{model}_rho"], frame.rho_rms, rtol=0.3)
