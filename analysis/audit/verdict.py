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

MENDING_COLUMNS = (
    "remedy",
    "step",
    "place",
    "gain",
    "gain_stderr",
    "gone",
    "gone_stderr",
    "alone",
    "alone_stderr",
    "blame",
    "blame_stderr",
    "gain_ideal",
    "same_class",
    "answer",
    "unreached",
)
"""Columns of mending.csv."""

NAMED = 4
"""Steps of mending that the verdict tells one by one."""

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
            text += (
                f" Of single places, {best} mended perfectly and alone takes most of the change away, "
                f"{100 * places.gain[best]:.0f} %; a share is the mean over all others that may be mended before."
            )
        else:
            text += " No single place, mended perfectly and alone, takes anything of the change away."
    lost = places[places.blame < 0].index
    if len(lost):
        have = "has" if len(lost) == 1 else "have"
        text += f" {', '.join(lost)} {have} a negative share: what happens there offsets others."
    apart = frame.index[frame.blame.isna() & ~frame.understood.astype(bool)]
    unshared = frame.index[
        frame.blame.isna() & frame.understood.astype(bool) & (frame.kind != "global pooling") & (frame.kind != "head")
    ]
    if len(unshared):
        text += (
            f" In {', '.join(unshared)} the maps are not one of each picture, or what went before has mixed the whole "
            "picture: what happens there is in the shares of what follows it."
        )
    if len(apart):
        text += (
            f" In {', '.join(apart)} resolution falls by code that is not understood: what that is at fault for is in "
            "the shares of what follows it."
        )
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


def mending_frame(audit: xr.Dataset) -> pd.DataFrame:
    """Table of what mending pays, a row a place for each remedy, in the order of mending.

    Parameters
    ----------
    audit : xarray.Dataset
        Of :func:`analysis.audit.audit_network`, merged with those of :func:`analysis.audit.mending_order`.

    Returns
    -------
    pandas.DataFrame
        Columns :data:`MENDING_COLUMNS`: `gain` is what the step takes away beside those before it, `alone` what mending
        that place alone takes away, `gain_ideal` the same if it is mended ideally, as in the audit. Places that are not
        reached come last, without a step.
    """
    shares = audit_frame(audit).set_index("place")
    rows: list[dict[str, object]] = []
    for remedy in audit.remedy.values:
        one = audit.sel(remedy=remedy)
        alone, error = (one[f"mend_gone_with{end}"].values[0] for end in ("", "_stderr"))
        names = [str(name) for name in audit.place.values]
        order = [(k, names.index(str(place))) for k, place in enumerate(one.mend_place.values) if place]
        for k, at in order + [(-1, at) for at, reason in enumerate(one.mend_unreached.values) if reason]:
            row: dict[str, object] = {"remedy": str(remedy), "step": k + 1 if k >= 0 else pd.NA, "place": names[at]}
            row |= {name: float(one[f"mend_{name}"][k]) if k >= 0 else np.nan for name in _STEP}
            row |= {"alone": alone[at], "alone_stderr": error[at], "gain_ideal": shares.gain[names[at]]}
            row |= {name: shares[name][names[at]] for name in ("blame", "blame_stderr")}
            rows.append(row | {"unreached": str(one.mend_unreached.values[at])})
    frame = pd.DataFrame(rows).rename(columns={"same": "same_class"}).astype({"step": "Int64"})
    return frame.reindex(columns=list(MENDING_COLUMNS))


_STEP = ("gain", "gain_stderr", "gone", "gone_stderr", "same", "answer")


def mending_verdict(audit: xr.Dataset, remedy: str) -> str:
    """Sentences that say what mending the places with a remedy pays, and how that goes with the shares of blame.

    Parameters
    ----------
    audit : xarray.Dataset
        As for :func:`mending_frame`.
    remedy : str
    """
    frame = mending_frame(audit)
    frame = frame[frame.remedy == remedy]
    steps = frame.dropna(subset="step")
    used = audit.attrs.get("images_used", 0)
    fewer = audit.attrs.get("mending_images", used) < used
    pictures = f" ({audit.mending_images} pictures)" if fewer else ""
    if len(steps):
        parts: list[str] = []
        for row in steps[:NAMED].itertuples():
            size = f"{abs(100 * row.gain):.0f} % ± {100 * row.gain_stderr:.0f}"
            if not parts:
                what = f"takes {size} of the change away" if row.gain >= 0 else f"adds {size} to the change"
                parts.append(f"With {remedy}{pictures}, mending {row.place} {what}")
            else:
                parts.append(f"then {row.place} " + (f"another {size}" if row.gain >= 0 else f"gives {size} back"))
        text = ", ".join(parts)
        last = steps.iloc[-1]
        if len(steps) > 1:
            text += f"; with all {len(steps)} mended {100 * last.gone:.0f} % ± {100 * last.gone_stderr:.0f} are gone"
        text += f", and {100 * last.same_class:.0f} % of the answers keep their class."
        agreement = [rank_agreement(steps.blame, column) for column in (steps.alone, -steps.step.astype(float))]
        if len(steps) > 2 and np.isfinite(agreement).all():
            text += (
                f" The shares of blame have the rank correlation {agreement[0]:.2f} with what mending each place alone "
                f"takes away, and {agreement[1]:.2f} with this order."
            )
    else:
        text = f"With {remedy}, nothing was mended."
    lost = frame.place[frame.unreached != ""]
    return text + (f" {remedy} does not reach {', '.join(lost)}." if len(lost) else "")
