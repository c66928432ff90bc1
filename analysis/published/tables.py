"""Published results as tables: numbers that the authors printed, and those that they archived.

The tables lie beside this module, where NOTICE says where they are from. All numbers are the authors' own but the mean
flip rate, which is computed from archived flip rates. theory.md, sections 6.4, 7.1 and 7.2.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

import pandas as pd
import xarray as xr

from analysis.measurements.relative_rates import mean_corruption_error, mean_flip_rate

TABLES = {
    "wcnn": "sizes and errors (%) of 41 networks on the test sets of ImageNet and CIFAR-10, archived",
    "wcnn_flips": "their flip rates (%) by direction and distance (px), archived",
    "wcnn_divergence": "their Kullback-Leibler divergences (nats) by direction and step of the shift, archived",
    "wcnn_validation": "their top-1 validation errors (%) by epoch, archived",
    "wcnn_corruptions": "top-1 errors (%) of nine of them on ImageNet-C by corruption and severity, archived",
    "wcnn_perturbations": "their flip rates (%) on the sequences of ImageNet-P by distance in frames, archived",
    "poster": "the poster, Figs. 9 and 10: errors (%) and mFR (%) as text; '?' is a digit that could not be read",
    "sound": "the sound study, Tables I and II: mAP with its standard deviation over three runs, and d'",
    "sound_shifts": "the sound study, Table III: consistency (%) and mean absolute change under shifts",
    "sound_systems": "the sound study, Table IV: mAP and d' on FSD50K of systems, its own and those of others",
    "blurpool": "the BlurPool paper, Table 1: accuracy and consistency (%) of VGG13 on CIFAR-10 by filter",
    "blurpool_time": "the BlurPool paper, Table 2: forward pass (ms) and what is added (%)",
}
"""Contents of each table. The poster is Leterme et al. 2022, the sound study Fonseca et al. 2021, the BlurPool paper
Zhang 2019."""

REFERENCE = {"ImageNet": "alexnet", "CIFAR-10": "resnet18"}
"""Network that the mean flip rates of a data set are relative to."""

Rates = dict[str, list[float]]

SCORES = ("one_crop_top1", "one_crop_top5", "ten_crops_top1", "ten_crops_top5", "mfr")
FAMILIES = {"alexnet": "AlexNet", "resnet18": "ResNet-18", "resnet34": "ResNet-34"}


def published_table(table: str) -> pd.DataFrame:
    """Table as it was printed or archived.

    Parameters
    ----------
    table : str
        Key of `TABLES`.

    Returns
    -------
    DataFrame
        Networks have their names in the registry of `networks`.

    Raises
    ------
    ValueError
        If there is no such table.
    """
    if table not in TABLES:
        raise ValueError(f"no table {table!r}; expected one of {', '.join(TABLES)}")
    with (files("analysis.published") / f"{table}.csv").open() as file:
        return pd.read_csv(file, dtype=str if table == "poster" else None, keep_default_na=table != "poster")


def archived_scores(dataset: str) -> pd.DataFrame:
    """Errors of the archived networks, and their mean flip rate by this package's metric.

    Parameters
    ----------
    dataset : {"ImageNet", "CIFAR-10"}

    Returns
    -------
    DataFrame
        Index: network. Columns: ``family``, ``twin`` ("standard", "RMax" or "CMod"), ``pooling`` ("max", "Blur",
        "4-tap Blur" or "ABlur"), ``ablated`` (the Gabor channels alone keep max pooling), those of the table "wcnn" and
        ``mfr``: per cent of the flips of `REFERENCE`.

    Raises
    ------
    ValueError
        If there is no such data set.
    """
    scores = _of(dataset, "wcnn").set_index("network")
    flips = archived_shifts(dataset).flip_rate

    def by_direction(network: str) -> dict[str, list[float]]:
        return {str(d): flips.sel(network=network, direction=d).values.tolist() for d in flips.direction.values}

    parts = pd.DataFrame([parts_of(network) for network in scores.index], index=scores.index)
    reference = by_direction(REFERENCE[dataset])
    mfr = [mean_flip_rate(by_direction(network), reference) for network in scores.index]
    return parts.join(scores.drop(columns="dataset")).assign(mfr=mfr)


def archived_shifts(dataset: str) -> xr.Dataset:
    """Stability of the archived networks by shift, named as in `analysis.stability.experiment.compare_remedies`.

    Parameters
    ----------
    dataset : {"ImageNet", "CIFAR-10"}

    Returns
    -------
    Dataset
        ``flip_rate`` (network, direction, distance), %: two frames at a distance of 1 to 8 px, CIFAR-10 to 4 px.
        ``divergence`` (network, direction, t), nats, from the first frame: t from 0 to 8 px by halves; for CIFAR-10,
        where the step is not recorded, (network, direction, frame).

    Raises
    ------
    ValueError
        If there is no such data set.
    """
    flips = _cube(_of(dataset, "wcnn_flips"), "distance").dropna("distance")
    divergence = _cube(_of(dataset, "wcnn_divergence"), "frame")
    if dataset == "ImageNet":
        divergence = divergence.rename(frame="t").assign_coords(t=divergence.frame.values / 2)
        divergence.t.attrs["units"] = "px"
    flips.distance.attrs["units"] = "px"
    flips.attrs, divergence.attrs = {"units": "%"}, {"units": "nats"}
    return xr.Dataset({"flip_rate": flips, "divergence": divergence})


def validation_errors(dataset: str) -> pd.DataFrame:
    """Top-1 validation error while the archived networks were trained.

    Parameters
    ----------
    dataset : {"ImageNet", "CIFAR-10"}

    Returns
    -------
    DataFrame
        Per cent; index: epoch, from 1; a column a network.

    Raises
    ------
    ValueError
        If there is no such data set.
    """
    table = _of(dataset, "wcnn_validation").set_index("network").drop(columns="dataset").T.dropna()
    return table.set_axis(table.index.astype(int).rename("epoch"))


def poster_beside_archive() -> pd.DataFrame:
    """Every number of the poster's Figs. 9 and 10 beside what the archive gives for it.

    Returns
    -------
    DataFrame
        One row a number: ``dataset``, ``network``, ``score`` (one of `SCORES`), ``printed`` (text; "?" is a digit that
        could not be read), ``value`` (NaN unless all digits could be read) and ``archived``. The networks with Blur on
        ImageNet have filters of 4 taps, as the authors' first release says; those of 3 taps are of the second.
    """
    names = ["dataset", "network"]
    printed = published_table("poster").melt(names, list(SCORES), "score", "printed")
    archive = pd.concat(
        {dataset: archived_scores(dataset).reindex(columns=SCORES) for dataset in REFERENCE}, names=names
    )
    archive = archive.melt(value_vars=list(SCORES), var_name="score", value_name="archived", ignore_index=False)
    both = printed[printed.printed != ""].merge(archive.reset_index(), on=[*names, "score"])
    value = pd.to_numeric(both.printed.where(~both.printed.str.contains("?", regex=False)))
    both.insert(4, "value", value)
    return both


def archived_corruptions() -> pd.DataFrame:
    """Errors on ImageNet-C and flips on ImageNet-P of the networks that were measured there, relative to AlexNet.

    Returns
    -------
    DataFrame
        Per cent of AlexNet's; index: network. Columns: the 15 corruptions, each the ratio of the top-1 errors summed
        over five severities; ``mce``, their mean; the 8 sequences, named ``motion_blur sequence`` and so on, each the
        ratio of the flip rates of neighbouring frames; ``mfr_p``, their mean. NaN where a network was not measured.

    Notes
    -----
    Hendrycks and Dietterich 2019, section 4.3. The mean flip rate of windows that move is another quantity: ``mfr`` of
    :func:`archived_scores`.
    """
    errors = published_table("wcnn_corruptions").set_index(["network", "corruption"])
    flips = published_table("wcnn_perturbations").set_index(["network", "perturbation"])[["1"]]
    by_kind = _relative(errors, "mce", mean_corruption_error)
    sequences = _relative(flips, "mfr_p", mean_flip_rate).rename(
        columns=lambda name: name if name == "mfr_p" else f"{name} sequence"
    )
    return by_kind.join(sequences)


def parts_of(network: str) -> dict[str, str | bool]:
    """Parts of the name of a network of the poster.

    Parameters
    ----------
    network : str
        Such as "wresnet34-cmod-blur".

    Returns
    -------
    dict
        ``family``, ``twin``, ``pooling`` and ``ablated``.
    """
    body, *options = network.split("-")
    twin = {"rmax": "RMax", "cmod": "CMod"}
    pooling = {"blur": "Blur", "blur4": "4-tap Blur", "ablur": "ABlur"}
    return {
        "family": FAMILIES[body.removeprefix("w")],
        "twin": next((twin[o] for o in options if o in twin), "standard"),
        "pooling": next((pooling[o] for o in options if o in pooling), "max"),
        "ablated": "ablated" in options,
    }


def _relative(table: pd.DataFrame, mean: str, metric: Callable[[Rates, Rates], float]) -> pd.DataFrame:
    """Per cent of the reference's rates by kind, and the metric, their mean, in the column of this name."""

    def rates(network: str) -> dict[str, list[float]]:
        return {str(kind): values.tolist() for kind, values in table.loc[network].iterrows()}

    reference = rates(REFERENCE["ImageNet"])
    rows = {}
    for network in table.index.unique("network"):
        mine = rates(network)
        rows[network] = {kind: metric({kind: mine[kind]}, {kind: reference[kind]}) for kind in mine}
        rows[network][mean] = metric(mine, reference)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("network")


def _of(dataset: str, table: str) -> pd.DataFrame:
    if dataset not in REFERENCE:
        raise ValueError(f"no results on {dataset!r}; expected one of {', '.join(REFERENCE)}")
    rows = published_table(table)
    return rows[rows.dataset == dataset].dropna(axis=1, how="all")


def _cube(table: pd.DataFrame, along: str) -> xr.DataArray:
    """Network × direction × numbered columns, in the order of the table."""
    networks, directions = table.network.unique(), table.direction.unique()
    values = table.drop(columns=["dataset", "network", "direction"])
    return xr.DataArray(
        values.to_numpy().reshape(len(networks), len(directions), -1),
        {"network": networks, "direction": directions, along: values.columns.astype(int)},
    )
