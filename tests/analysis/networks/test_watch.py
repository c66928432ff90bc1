"""What is put in place of the results of calls."""

from __future__ import annotations

from collections import namedtuple

import pytest

torch = pytest.importorskip("torch")

from analysis.networks.watch import put_first  # noqa: E402

Pair = namedtuple("Pair", "maps rest")


@pytest.mark.parametrize("name", ["values", "maps", None])
def test_results_keep_their_names(name):
    x = torch.rand(3, 4)
    result = {"values": x.max(-1), "maps": Pair(x, 5), None: [x, 5]}[name]
    changed = put_first(result, torch.zeros(3))
    assert type(changed) is type(result)
    first = changed[0] if name is None else getattr(changed, name)
    assert not first.any() and changed[1] is result[1]
    assert put_first(x, x[0]).shape == (4,)
