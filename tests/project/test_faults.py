"""The table of faults in docs/faults.md: every test that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_in_the_table_of_faults_is_there():
    table = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", table))
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    known = {name for source in sources for name in re.findall(r"^def (test_\w+)\(", source, re.MULTILINE)}
    assert len(named) > 60 and not named - known
    assert all(
        re.search(rf"^\| {item} ", table, re.MULTILINE) for item in [f"{p}{n}" for p in "AB" for n in range(1, 11)]
    )
