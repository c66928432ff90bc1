"""``shiftscope study``: what it lists and refuses. What it runs is tested in tests/analysis/studies."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from analysis.studies import STUDIES


def test_list(shiftscope):
    code, out, _ = shiftscope("study", "--list")
    assert code == 0
    told = " ".join(out.split())
    assert all(name in out and study.costs["small"] in told for name, study in STUDIES.items())


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
