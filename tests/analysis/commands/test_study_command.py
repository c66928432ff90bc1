"""``shiftscope study``: what it lists and refuses. What it runs is tested in tests/analysis/studies."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")


def test_list(shiftscope):
    code, out, _ = shiftscope("study", "--list")
    assert code == 0
    assert all(name in out for name in ("blurpool", "twins", "sound", "two cores"))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["blurpool"], "--data"),
        (["blurpol", "--data", "x", "--out", "y"], "blurpool"),
        (["blurpool", "--data", "nowhere.npz", "--out", "y"], "nowhere.npz"),
        (["blurpool", "--data", "x", "--out", "y", "--runs", "filter=blur9"], "blur9"),
        (["blurpool", "--data", "x", "--out", "y", "--seeds", "0,a"], "0,a"),
    ],
)
def test_refusals(shiftscope, tmp_path, monkeypatch, arguments, named):
    monkeypatch.chdir(tmp_path)
    code, _, err = shiftscope("study", *arguments)
    assert code == 2 and named in err and len(err.splitlines()) == 1
