"""Means over seeds with their intervals, and what became of each claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from analysis.studies.study import Claim, Study

LEVEL = 0.95


def interval(values: ArrayLike) -> tuple[float, float]:
    """Mean of independent values and the half width of its 95 % interval (Student); NaN of fewer than two values."""
    found = np.asarray(values, np.float64)
    count = found.size
    if count < 2:
        return (float(found.mean()) if count else np.nan), np.nan
    return float(found.mean()), float(stdtrit(count - 1, (1 + LEVEL) / 2) * found.std(ddof=1) / count**0.5)


def summary(study: Study, runs: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds beside the published numbers.

    Parameters
    ----------
    study : Study
    runs : DataFrame
        A row a run: the factors, ``seed``, ``part``, and the metrics.

    Returns
    -------
    DataFrame
        A row for each combination of factors: ``seeds``, ``parts``, and of every metric its mean, ``_interval``, half
        the width of its 95 % interval, and ``_published``, NaN where nothing is printed. Intervals are over seeds,
        parts averaged before; of one seed alone they are over the parts, and too narrow, for parts share training data.
    """
    factors, metrics = list(study.factors), list(study.metrics)
    if runs.empty:
        return pd.DataFrame(columns=[*factors, "seeds"])
    groups = dict(list(_with_parts(runs).groupby(factors, sort=False)))
    listed = dict.fromkeys(tuple(run.factors[name] for name in factors) for run in study.runs("small", [0]))
    rows = []
    for levels in sorted(groups, key=[*listed, *groups].index):  # as the study lists them, however they were run
        group = groups[levels]
        row: dict[str, object] = dict(zip(factors, levels, strict=True))
        row |= {"seeds": group.seed.nunique(), "parts": group.part.nunique()}
        for metric in metrics:
            row[metric], row[f"{metric}_interval"] = interval(_units(group, metric))
        rows.append(row)
    table = pd.DataFrame(rows)
    published = study.published().rename(columns={metric: f"{metric}_published" for metric in metrics})
    return table.merge(published, on=factors, how="left")


def verdicts(study: Study, runs: pd.DataFrame) -> pd.DataFrame:
    """Verdicts of these runs on every claim.

    Parameters
    ----------
    study : Study
    runs : DataFrame
        As for :func:`summary`.

    Returns
    -------
    DataFrame
        A row a claim: ``claim``, ``metric``, ``published``, the printed difference (NaN if it is not printed),
        ``effect``, the difference here, paired by seed, ``interval``, half the width of its 95 % interval, as in
        :func:`summary`, ``seeds``, ``over``, what the interval is over, and ``verdict``: "holds", "does not hold" or
        "undecided here".
    """
    rows = []
    for claim in study.claims:
        mean, half, seeds, over = np.nan, np.nan, 0, ""
        if not runs.empty:
            found = differences(study, claim, runs)
            values = _units(found, "difference")
            (mean, half), seeds = interval(values), found.seed.nunique()
            over = f"{seeds} seed{'s' if seeds != 1 else ''}"
            over = over if values.index.name == "seed" else f"{len(values)} parts of {over}"
        printed = differences(study, claim, study.published().assign(seed=0)).difference.mean()
        rows.append(
            {
                "claim": claim.text,
                "metric": study.metrics[claim.metric],
                "published": printed,
                "effect": mean,
                "interval": half,
                "seeds": seeds,
                "over": over,
                "verdict": verdict(claim.sign * mean, half),
            }
        )
    return pd.DataFrame(rows)


def verdict(effect: float, half: float) -> str:
    """Verdict on an effect in the claimed direction, with half the width of its interval."""
    if effect - half > 0:
        return "holds"
    return "does not hold" if effect + half < 0 else "undecided here"


def effects(study: Study, runs: pd.DataFrame, metric: str, reference: Mapping[str, str]) -> pd.DataFrame:
    """Difference of a metric between every row of the table and one reference.

    Parameters
    ----------
    study : Study
    runs : DataFrame
        As for :func:`summary`.
    metric : str
    reference : mapping of str to str
        Levels of what is compared with; the factors that it does not name are paired, and seeds and parts are.

    Returns
    -------
    DataFrame
        A row for each combination of factors but the reference's: ``published``, the printed difference, ``effect``,
        ``interval`` and ``over``, as in :func:`verdicts`. Of many rows one in twenty excludes 0 by chance.
    """
    rows = []
    for levels in summary(study, runs)[list(study.factors)].to_dict("records"):
        if levels != levels | reference:
            claim = Claim("", metric, levels, levels | reference, 1)
            told = verdicts(replace(study, claims=(claim,)), runs)
            rows.append(levels | told.loc[0, ["published", "effect", "interval", "over"]].to_dict())
    return pd.DataFrame(rows)


def differences(study: Study, claim: Claim, rows: pd.DataFrame) -> pd.DataFrame:
    """Differences of a claim's metric between what is compared, paired by seed, part and all other factors."""
    compared = {*claim.of, *claim.than}
    keys = [factor for factor in study.factors if factor not in compared] + ["seed", "part"]
    if claim.metric not in rows:
        return pd.DataFrame(columns=[*keys, "difference"])
    rows = _with_parts(rows)
    both = _chosen(rows, claim.of).merge(_chosen(rows, claim.than), on=keys, suffixes=("", "_than"))
    return both[keys].assign(difference=both[claim.metric] - both[f"{claim.metric}_than"])


def _chosen(rows: pd.DataFrame, levels: Mapping[str, str]) -> pd.DataFrame:
    return rows[np.logical_and.reduce([rows[factor] == level for factor, level in levels.items()])]


def _with_parts(runs: pd.DataFrame) -> pd.DataFrame:
    """Return runs with a part each, which is "" where the data have none."""
    return runs.assign(part=runs.part.fillna("") if "part" in runs else "")


def _units(rows: pd.DataFrame, column: str) -> pd.Series[float]:
    """Means of a column whose interval is taken: of each seed over its parts, or of each part if there is one seed."""
    unit = "part" if rows.seed.nunique() == 1 and rows.part.nunique() > 1 else "seed"
    return rows.groupby(unit)[column].mean().dropna()
