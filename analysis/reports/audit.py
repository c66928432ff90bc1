"""Report of the audit of a network: verdict, table, figures, and one HTML page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from torch import nn

from analysis import plots
from analysis.audit.experiment import BLOCK, SHIFTS, NetworkAudit, measure_audit
from analysis.audit.mending import mending_order, mending_passes, placewise
from analysis.audit.verdict import audit_frame, mending_frame, mending_verdict, verdict
from analysis.kernels.table import kernel_frame, kernel_table
from analysis.networks.loading import SIZE, LoadedNetwork, load_network, move
from analysis.reports.first_convolution import first_convolution
from analysis.reports.session import Images, Session
from analysis.reports.writer import Report, csv_uri, number, number_with_error
from analysis.runs.progress import say
from analysis.runs.provenance import distribution_version
from wavelets.checks import integer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110

COLUMNS = {
    "kind": ("kind", "What loses resolution there."),
    "kernel": ("kernel", "Sides of the window, samples."),
    "stride": ("stride", "Ratio of the grids."),
    "size": ("size", "Sides of the maps before and after."),
    "channels": ("channels", "Channels that come out."),
    "cost": ("cost", "Millions of multiplications or comparisons a picture."),
    "aliased_energy": (
        "aliased energy %",
        "Energy of the samples that comes from above their Nyquist frequency, mean over the pictures; a dash where the "
        "maps before subsampling are not known (code that is not understood), or the size does not shrink by whole "
        "steps.",
    ),
    "aliased_energy_median": ("median channel %", "The same of the median channel."),
    "aliased_energy_worst": ("worst channel %", "The same of the channel that aliases most."),
    "aliased_energy_white": ("white noise %", "The same of white noise."),
    "aliased_energy_power_law": ("1/f² %", "The same of a field with the power spectrum 1/f²."),
    "blame": ("blame %", "Share of the change that the place is at fault for (Shapley value); with the head 100."),
    "interval": ("95 % interval", "Of the blame, over pictures."),
    "gross": ("gross %", "Size of what the place changes, right or wrong, beside the whole change."),
    "nested": ("in order %", "The share if places are mended in the order of execution."),
    "gain": ("gone if mended alone %", "Share of the squared change that is gone if this place alone is mended."),
}

MENDING = [
    ("step", "", False),
    ("place", "", True),
    ("takes away %", "Share of the squared change that is gone by this step, beside those before it.", False),
    ("gone %", "Share that is gone with this place and those above mended.", False),
    ("alone %", "Share that is gone if this place alone is mended with the remedy.", False),
    ("blame %", "Share of the change that the place is at fault for.", False),
    ("same class %", "Pictures to which the network still gives the class of the plain one.", False),
    ("answer %", "Size of the logits beside those of the plain network: smaller ones change less too.", False),
]
"""Columns of the tables of mending: head, meaning, and whether it is text."""

FORMS = {
    "exact": "All subsets of places were run: the shares are exact.",
    "sampled": "Each picture has one random order of the places and its reversal: the shares are unbiased, the column "
    "gross is too large by the noise of that.",
    "nested": "Places were mended in the order of execution alone: the shares are those of this order, not Shapley "
    "values, and another order would give others.",
}

CAPTIONS = {
    "strip": "The network from input to output: side of the maps, aliased energy with yardsticks, and blame.",
    "shifts": "Blame of each place by shift; bars of one standard error over pictures.",
    "mending": "Places in the order in which mending them one by one takes most of the change away: what is gone with "
    "each and all to its left, and by mending it alone, beside its share of blame; bars of one standard error.",
}


def audit_report(
    network: str | nn.Module | LoadedNetwork,
    images: Images,
    out: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    pretrained: bool = False,
    size: int | None = None,
    shifts: Sequence[Sequence[float]] = SHIFTS,
    borders: Sequence[str] = ("circular",),
    first_layer: bool = True,
    mend: Sequence[str] = (),
    mend_limit: int | None = None,
    device: str = "cpu",
    block: int = BLOCK,
    options: dict[str, Any] | None = None,
    **how: Any,
) -> Report:
    """Audit a network: where resolution is lost, what aliases there, and which place is to blame for changes.

    Writes audit.csv, audit.nc, strip.png, shifts.png and report.html; where the first place is a convolution of the
    picture also kernels.csv and kernels.nc; with `mend` mending.csv and mending.png; and skipped.txt if images had to
    be left out.

    Parameters
    ----------
    network : str, torch.nn.Module or LoadedNetwork
        Name or ``FILE.py:FACTORY`` as for :func:`analysis.networks.loading.load_network`, **which executes the file**;
        or a module that takes R, G, B in [0, 1], which is put in evaluation mode; or a LoadedNetwork.
    images : path, iterable of paths and arrays, or None
        A folder, searched recursively, or the images themselves; None stands for the photographs of scikit-image.
    out : path
        Folder for the results; it is created. A run that was stopped there is continued.
    weights, pretrained
        As for :func:`analysis.networks.loading.load_network`.
    size : int, optional
        Side of the network's input, pixels; by default the network's own, of a module 224.
    shifts, borders
        As for :class:`analysis.audit.NetworkAudit`.
    first_layer : bool
        Analyse the kernels of the first place, if it is a convolution of the picture, in a second pass.
    mend : sequence of str
        Remedies by name, with each of which the places are mended one by one in the order that takes most of the change
        away, in further passes; see :func:`analysis.audit.mending_order`.
    mend_limit : int, optional
        Use at most so many of the images for that, spread over them.
    device : str
        Where torch shall compute, such as "cuda".
    block : int
        Images between two entries of the journal, from which a run continues.
    options : dict, optional
        Further arguments of :class:`analysis.audit.NetworkAudit`.
    **how
        limit, every, resume, overwrite, progress, on_skip, figures: as for :class:`analysis.reports.session.Session`.

    Returns
    -------
    Report
        Its `datasets` have "audit", and perhaps "kernels".

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range or a name unknown, if the network fails or has no place, or if the folder has
        another run.
    OSError
        If a file is not there, or the folder cannot be written to.
    """
    for option, count in {"size": size, "mend_limit": mend_limit}.items():
        if count is not None:
            integer(option, count, 1)
    for name in mend:
        placewise(name)
    loaded = network if isinstance(network, LoadedNetwork) else _loaded(network, weights, size, pretrained)
    move(loaded.model, device)
    try:
        experiment = NetworkAudit(
            loaded.model,
            loaded.size,
            preprocess=loaded.preprocess,
            shifts=shifts,
            borders=borders,
            **(options or {}),
        )
    except (TypeError, ValueError) as error:
        raise type(error)(f"{loaded.name}: {error}") from error
    session = Session("audit", images, out, loaded.size, colour=True, block=block, **how)
    settings = {"network": loaded.name, "code_sha256": loaded.version} | experiment.settings()
    with session.results(settings, ["audit.nc"]) as report:
        audit = session.measure(partial(measure_audit, experiment=experiment))
        report.inputs = len(report.skipped) + audit.images_used
        audit = audit.assign_attrs(
            network=loaded.name, device=device, torch_version=distribution_version("torch"), verdict=verdict(audit)
        )
        if mend:
            audit = _with_mending(audit, experiment, session, settings, tuple(dict.fromkeys(mend)), mend_limit)
        kernels = _kernels(loaded, experiment, session) if first_layer else None
        write_audit(report, audit, kernels)
    return report


def _with_mending(
    audit: xr.Dataset,
    experiment: NetworkAudit,
    session: Session,
    settings: dict[str, Any],
    mend: Sequence[str],
    limit: int | None,
) -> xr.Dataset:
    """Audit with what mending the places with each of some remedies pays, measured on the same pictures."""
    sources: Iterable[Any] = session.sources
    used = int(audit.images_used)
    if limit is not None and limit < used:
        every = -(-used // limit)
        sources, used = list(sources)[::every], -(-used // every)
    passes = mending_passes(experiment, used)
    count = len(experiment.network.places)
    if session.progress:
        say(f"Mending {count} places with {' and with '.join(mend)}: at most {passes:,} passes of a picture for each.")
    found = [
        mending_order(
            experiment,
            sources,
            name,
            folder=session.report.folder / "mending",
            settings={"images": session.shown, "block": session.block} | settings,
            overwrite=session.overwrite,
            progress=session.progress,
            root=session.root,
            block=session.block,
        )
        for name in mend
    ]
    audit = xr.merge([audit, xr.concat(found, "remedy")], combine_attrs="override")
    audit = audit.assign_attrs(mending_images=used)
    words = [audit.attrs["verdict"], *(mending_verdict(audit, name) for name in mend)]
    return audit.assign_attrs(verdict="\n".join(words))


def _loaded(
    network: str | nn.Module, weights: str | os.PathLike[str] | None, size: int | None, pretrained: bool
) -> LoadedNetwork:
    if isinstance(network, str):
        return load_network(network, weights, size, pretrained)
    if weights is not None or pretrained:
        raise ValueError("the network is no name and has its own weights")
    return LoadedNetwork(type(network).__name__, network.eval(), size=SIZE if size is None else size)


def _kernels(loaded: LoadedNetwork, experiment: NetworkAudit, session: Session) -> xr.Dataset | None:
    """Table of the kernels of the first place on the same pictures, if that is a convolution of them."""
    layer = first_convolution(loaded, experiment.places)
    if layer is None:
        return None
    try:
        return kernel_table(layer, session.sources, size=loaded.size, progress=session.progress, root=session.root)
    except ValueError:  # the pictures are too small for a valid region
        return None


def write_audit(report: Report, audit: xr.Dataset, kernels: xr.Dataset | None = None) -> None:
    """Write audit.nc, audit.csv, the figures and report.html.

    Parameters
    ----------
    report : Report
        Names the folder.
    audit : xarray.Dataset
        Of :func:`analysis.audit.audit_network`, with the attributes of a result.
    kernels : xarray.Dataset, optional
        Of :func:`analysis.kernel_table`, of the first place.
    """
    report.save(audit, "audit")
    report.save_table(lambda: audit_frame(audit), "audit", index=False)
    if "remedy" in audit.dims:
        report.save_table(lambda: mending_frame(audit), "mending", index=False)
    if kernels is not None:
        report.save(kernels, "kernels")
        report.save_table(lambda: kernel_frame(kernels), "kernels", index=False)
    drawn = report.draw(figures(audit), DPI)
    report.save_page("audit.html.j2", partial(page_values, audit, kernels), drawn)


def figures(audit: xr.Dataset) -> dict[str, Callable[[], Figure]]:
    """Figures of an audit, by the names of the files; each is drawn when called."""
    drawn: dict[str, Callable[[], Figure]] = {
        "strip": partial(plots.strip_figure, audit),
        "shifts": partial(plots.blame_by_shift_figure, audit),
    }
    return drawn | ({"mending": partial(plots.mending_figure, audit)} if "remedy" in audit.dims else {})


def page_values(audit: xr.Dataset, kernels: xr.Dataset | None) -> dict[str, Any]:
    """Values that the page shows beside the figures."""
    frame = audit_frame(audit)
    order = frame.dropna(subset="gain").sort_values("gain", ascending=False)
    return {
        "attrs": audit.attrs,
        "form": FORMS[audit.attrs.get("form", "exact" if audit.attrs.get("exact") else "sampled")],  # as it once was
        "columns": [(*COLUMNS[name], name == "kind") for name in COLUMNS],
        "rows": [
            (row["place"], [(_cell(row, name), _sorted_by(row, name)) for name in COLUMNS])
            for row in frame.to_dict("records")
        ],
        "csv_file": csv_uri(frame),
        "unknown": frame[~frame.understood.astype(bool)].to_dict("records"),
        "order": [(row.place, _with_error(row.gain, row.gain_stderr)) for row in order.itertuples()],
        "mending": _mending_tables(audit) if "remedy" in audit.dims else [],
        "mending_columns": MENDING,
        "mending_file": csv_uri(mending_frame(audit)) if "remedy" in audit.dims else "",
        "shifts": list(zip(audit.shift_y.values.tolist(), audit.shift_x.values.tolist(), strict=True)),
        "borders": audit.borders.values.tolist(),
        "captions": CAPTIONS,
        "kernels": None if kernels is None else kernel_rows(kernels),
        "layer": None if kernels is None else kernels.attrs.get("layer", ""),
    }


def _mending_tables(audit: xr.Dataset) -> list[tuple[str, list[list[str]], list[tuple[str, str]]]]:
    """Remedies, each with a row for each step, and with the places that it does not reach and the reasons."""
    frame = mending_frame(audit)
    tables = []
    for remedy in audit.remedy.values:
        part = frame[frame.remedy == remedy]
        rows = [
            [
                str(row["step"]),
                row["place"],
                *(_with_error(row[name], row[f"{name}_stderr"]) for name in ("gain", "gone", "alone", "blame")),
                *(_percent(row[name]) for name in ("same_class", "answer")),
            ]
            for row in part[part.unreached == ""].to_dict("records")
        ]
        lost = part[part.unreached != ""]
        tables.append((str(remedy), rows, list(zip(lost.place, lost.unreached, strict=True))))
    return tables


def kernel_rows(kernels: xr.Dataset) -> list[tuple[str, list[str]]]:
    """Medians of the numbers of a first layer over its kernels of each kind."""
    frame = kernel_frame(kernels)
    names = ("wavelength", "gamma", "rho", "predicted_rho", "eta_rmax", "eta_cmod")
    return [
        (str(kind), [str(len(rows)), *(number(float(rows[name].median())) for name in names)])
        for kind, rows in frame[frame.kind != "dead"].groupby("kind")
    ]


def _cell(row: dict[str, Any], name: str) -> str:
    if name == "size":
        return f"{row['size_in']} → {row['size_out']}" if row["size_in"] else ""
    if name == "interval":
        return f"{_percent(row['blame_low'])} to {_percent(row['blame_high'])}" if np.isfinite(row["blame"]) else "–"
    if name == "cost":
        return f"{row['cost'] / 1e6:.3g}" if row["cost"] else ""
    if name in ("kind", "kernel", "stride", "channels"):
        return str(row[name] or "")
    return _with_error(row[name], row.get(f"{name}_stderr", np.nan))


def _sorted_by(row: dict[str, Any], name: str) -> str:
    """Value by which a column is sorted; nothing where there is none."""
    value = row[{"size": "size_in", "interval": "blame_low"}.get(name, name)]
    if isinstance(value, str):
        return value.split("×")[0]
    return f"{value:.6g}" if value and np.isfinite(value) else ""


def _with_error(value: float, error: float) -> str:
    return number_with_error(100 * value, 100 * error)


def _percent(value: float) -> str:
    return number(100 * float(value), 1)
