"""The fuzz targets without the fuzzer: their seeds are read, and changed ones give no other error than documented."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(params=["fuzz_images", "fuzz_checkpoints"])
def target(request, tmp_path, monkeypatch):
    if request.param == "fuzz_checkpoints":
        pytest.importorskip("torch")
    monkeypatch.setitem(sys.modules, "atheris", None)  # which would rewrite the modules of this process
    module = importlib.import_module(f"fuzz.{request.param}")
    monkeypatch.setattr(module.file, "stem", tmp_path / "fuzzed")
    return module


def test_seeds_and_changes_of_them(target, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2**20)
    rng = np.random.default_rng(0)
    for seed in target.seeds().values():
        target.execute(seed)
        for _ in range(5):
            changed = np.frombuffer(seed, np.uint8).copy()
            changed[rng.integers(1, changed.size, 3)] = rng.integers(0, 256, 3)
            target.execute(changed[: rng.integers(1, changed.size)].tobytes())
            target.execute(changed.tobytes())
    target.execute(b"")


def test_seeds_are_sound(target):
    """Of files that are refused at once little is learnt."""
    refused = [name for name, seed in target.seeds().items() if not target.execute(seed)]
    assert refused in ([], ["23-tiff"])  # of signed integers
