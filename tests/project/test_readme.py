"""The README's Python blocks run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def block_with(text):
    """The one block of Python that holds a text."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (block,) = (b for b in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if text in b)
    return block


def test_numpy_block_runs(tmp_path, monkeypatch):
    block = block_with("from analysis import describe")
    rng = np.random.default_rng(0)
    folder = tmp_path / "path" / "to" / "photographs"
    folder.mkdir(parents=True)
    for number in range(2):
        pixels = rng.integers(0, 256, (120, 140, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    names = {"images": rng.random((2, 64, 64)), "image": rng.random((64, 64)), "V": rng.standard_normal((11, 11))}
    exec(block, names)
    assert (tmp_path / "discrepancy.png").is_file()
    assert names["images"].shape == (2, 64, 64)


def test_torch_block_runs():
    torch = pytest.importorskip("torch")
    block = block_with("from wavelets.nn import")
    pictures = torch.rand(2, 64, 48)
    names = {"images": pictures}
    exec(block, names)
    assert names["c"].shape == (2, 128, 8, 6)
    torch.testing.assert_close(names["images"], pictures)


def test_networks_block_runs(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    from analysis import networks

    monkeypatch.chdir(tmp_path)
    torch.save(networks.create("resnet18").state_dict(), "resnet18.pth")
    text = block_with("networks.create(")
    exec(text, names := {})
    assert f"# {len(networks.list())} names" in text
    assert isinstance(names["model"], networks.WAlexNet)
