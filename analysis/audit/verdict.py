"""Verdict of an audit in words, and its table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from analysis.audit.experiment import HEAD

COLUMNS = (
    "place",
    "kind",
    "stride",
    "size_in",
    "size_out",
    "channels",
    "aliased_energy",
    "aliased_energy_stderr",
    "blame",
    "blame_stderr",
    "kernel",
    "total_stride",
    "cost",
    "understood",
    "aliased_energy_median",
    "aliased_energy_median_stderr",
    "aliased_energy_worst",
    "aliased_energy_worst_stderr",
    "aliased_energy_white",
    "aliased_energy_power_law",
    "blame_low",
    "blame_high",
    "gross",
    "nested",
    "gain",
    "gain_stderr",
    "gain_rank",
)
"""Columns of audit.csv."""

ENOUGH = 0.8
"""Share of the change that the places named first in the verdict come to, if they can."""

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def audit_frame(audit: xr.Dataset) -> pd.DataFrame:
    """Table of an audit, a row a place, with the head as the last.

    Parameters
    ----------
    audit : xarray.Dataset
        Result of :func:`analysis.audit.audit_network`.

    Returns
    -------
    pandas.DataFrame
        Columns :data:`COLUMNS`; `gain_rank` is 1 for the place of which mending alone takes most of the change away.
    """
    frame = audit[[name for name in audit if audit[name].dims == ("place",)]].to_dataframe().reset_index()
    frame["gain_rank"] = frame.gain.rank(ascending=False).astype("Int64")
    return frame[list(COLUMNS)]


def verdict(audit: xr.Dataset) -> str:
    """Sentences that say which places are to blame, and what aliases there.

    Parameters
    ----------
    audit : xarray.Dataset
        Result of :func:`analysis.audit.audit_network`.

    Returns
    -------
    str
    """
    frame = audit_frame(audit).set_index("place")
    head = float(frame.blame[HEAD])
    places = frame.drop(index=HEAD).dropna(subset="blame").sort_values("blame", ascending=False)
    if not np.isfinite(audit.change.values).any() or places.empty:
        return "The answer does not change under these shifts."
    named = [places.index[0]]
    while places.blame[named].sum() < ENOUGH * (1 - max(head, 0)) and len(named) < (places.blame > 0).sum():
        named.append(places.index[len(named)])
    total = 100 * places.blame[named].sum()
    which = f"{_number(len(named))} of {_number(len(places))} places {'is' if len(named) == 1 else 'are'}"
    first = places.loc[named[0]]
    text = f"{which[0].upper()}{which[1:]} to blame for {total:.0f} % of the change under a shift"
    if len(named) > 1:
        text += f"; the first, with {100 * first.blame:.0f} %, is {named[0]}"
    else:
        text += f", {named[0]}"
    text += f" ({first.kind}, {first.size_in} to {first.size_out})"
    if np.isfinite(first.aliased_energy):
        text += (
            f": {100 * first.aliased_energy:.0f} % of the energy there aliases, and "
            f"{100 * first.aliased_energy_worst:.0f} % in the worst channel"
        )
    text += f". The head, all that follows the last place, has {round(100 * head)} %."
    if places.gain.notna().any():
        best = places.gain.idxmax()
        if places.gain[best] > 0:
            text += f" Of single places, mending {best} takes most of the change away, {100 * places.gain[best]:.0f} %."
        else:
            text += " Mending any single place takes nothing of the change away."
    lost = places[places.blame < 0].index
    if len(lost):
        have = "has" if len(lost) == 1 else "have"
        text += f" {', '.join(lost)} {have} a negative share: what happens there offsets others."
    return text + _agreement(places)


def _agreement(places: pd.DataFrame) -> str:
    value = rank_agreement(places.blame, places.gain)
    if len(places) < 3 or not np.isfinite(value):
        return ""
    return f" Shares and the gains of mending one place have the rank correlation {value:.2f}."


def rank_agreement(shares: pd.Series, gains: pd.Series) -> float:
    """Spearman's rank correlation of two columns; NaN for less than two places, or if all have the same."""
    from scipy.stats import spearmanr  # half a second to import

    known = np.isfinite(shares) & np.isfinite(gains)
    shares, gains = shares[known], gains[known]
    if min(shares.nunique(), gains.nunique()) < 2:
        return float("nan")
    return float(spearmanr(shares, gains).statistic)


def _number(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else str(count)
