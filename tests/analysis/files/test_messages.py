"""Messages: one printable line, and what to do about a name that is not known."""

from __future__ import annotations

import pytest

from analysis.files.messages import MOST_NAMES, first_line, printable, unknown


def test_unknown_names_the_nearest_and_all_that_there_are():
    known = ["rectangle", "triangle", "binomial"]
    message = unknown("filter", "traingle", known)
    assert "filter 'traingle'" in message and "did you mean 'triangle'" in message and "binomial" in message
    assert "did you mean" not in unknown("filter", "xyz", known)
    assert "'None'" in unknown("filter", None, iter(known))


def test_unknown_does_not_list_a_multitude():
    message = unknown("network", "x", [f"net{number}" for number in range(500)])
    assert f"net{MOST_NAMES - 1}" in message and f"net{MOST_NAMES}," not in message and "500" in message


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (KeyError("name"), "name"),
        (ValueError(), "ValueError"),
        (OSError("\x1b"), "\\x1b"),
    ],
)
def test_first_line(error, line):
    assert first_line(error) == line


def test_printable():
    assert printable(b"a\xff\n") == "a\\udcff\\n"
