"""What tests of several commands share."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from analysis.reports.writer import Report


@pytest.fixture
def empty_figures(monkeypatch):
    """Figures with nothing in them, where it is not they that matter: drawing takes most of the time."""
    draw = Report.draw

    def emptied(self, figures, *how, **options):
        return draw(self, dict.fromkeys(figures, lambda: Figure((1, 1))), *how, **options)

    monkeypatch.setattr(Report, "draw", emptied)
