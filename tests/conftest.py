"""What all tests share: which of them this environment can run."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import matplotlib
import pytest

matplotlib.use("Agg")

DATA = Path(os.environ.get("SHIFTSCOPE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pytest_collection_modifyitems(items):
    if importlib.util.find_spec("dtcwt") is None:
        skip = pytest.mark.skip(reason="needs the package dtcwt")
        for item in items:
            if "oracle" in item.keywords:
                item.add_marker(skip)


@pytest.fixture
def imagenet_sample():
    """Folder of 1000 ImageNet photographs, which most machines do not have."""
    folder = DATA / "imagenet-sample"
    if not folder.is_dir():
        pytest.skip("needs the ImageNet sample (set SHIFTSCOPE_DATA)")
    return folder
