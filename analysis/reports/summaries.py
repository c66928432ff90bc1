"""Summaries of results for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from analysis.files.messages import printable
from analysis.kernels.prescription import sentence, spread_front
from analysis.kernels.table import kernel_frame, rank_correlation
from analysis.measurements.correlation import map_correlation
from analysis.measurements.packet_coordinates import not_low_pass
from analysis.prediction import agreement
from analysis.reports.writer import number, number_with_error

if TYPE_CHECKING:
    from analysis.reports.writer import Report

LISTED = 256
"""Values of a variable that a summary in JSON lists; of larger ones it has the range."""


def report_data(report: Report) -> dict[str, Any]:
    """Return what a report says, for ``--json``: its files, what was skipped, and the results.

    Of each result these are the attributes (the verdict among them), and for each variable its values if they are few,
    else the smallest, median and largest.
    """
    return {
        "folder": str(report.folder),
        "files": sorted(path.name for path in report.folder.iterdir() if not path.name.startswith(".")),
        "images": report.inputs,
        "skipped": report.skipped,
        "failures": report.failures,
        "seconds": round(report.seconds, 3),
        "results": {name: _dataset(dataset) for name, dataset in report.datasets.items()},
    }


def _dataset(dataset: xr.Dataset) -> dict[str, Any]:
    def short(variable: Any) -> Any:
        values = variable.values
        if values.size <= LISTED:
            return values.tolist()
        if not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
            return {"shape": list(values.shape)}
        known = values[np.isfinite(values)]
        names = ("min", "median", "max")
        return dict(zip(names, np.quantile(known, [0, 0.5, 1]).tolist(), strict=True)) if known.size else None

    variables = {name: {"dimensions": list(v.dims), "values": short(v)} for name, v in dataset.variables.items()}
    return {"sizes": dict(dataset.sizes), "attributes": dataset.attrs, "variables": variables}


def heatmap_summary(report: Report) -> str:
    """Smallest, median and largest value of each quantity, without the low-pass filters; fits of predictions.

    Parameters
    ----------
    report : Report
        Of :func:`analysis.heatmap_report`.
    """
    measured = {name: ds for name, ds in report.datasets.items() if name.startswith("heatmaps")}
    first = next(iter(measured.values()))
    lines = [
        f"\n{_counts(first)}, filters {first.filters}, {report.seconds:.1f} s:",
        f"{first.seconds_measuring:.1f} s measured, {first.seconds_waiting:.1f} s waited for images; "
        f"reading them took {first.seconds_reading:.1f} s of processor time.",
        "\nBand-pass filters, means over images:\n",
        f"{'J':>2} {'m':>2}  {'quantity':<34} {'min':>7} {'median':>7} {'max':>7}",
    ]
    for ds in measured.values():
        lines += _ranges(ds)
    lines.append(f"\nResults and figures: {printable(report.folder)}/report.html, heatmaps_J*.nc, .png, .pdf")
    for name, ds in measured.items():
        prediction = report.datasets.get(name.replace("heatmaps", "prediction"))
        if prediction is not None:
            lines += _fits(ds, prediction)
    return "\n".join(lines)


def _ranges(ds: xr.Dataset) -> list[str]:
    keep = not_low_pass(ds)
    rows = {"rho, RMax against CMod": ds.rho.values, "gamma_1, theory": ds.gamma.values}
    for s in range(ds.sizes["shift"]):
        shift = f"shift ({ds.shift_y.values[s]:g}, {ds.shift_x.values[s]:g}) px"
        rows[f"eta of RMax, {shift}"] = ds.eta_rmax.values[:, s]
        rows[f"eta of CMod, {shift}"] = ds.eta_cmod.values[:, s]
    begin = f"{ds.levels:>2} {ds.stride:>2}  "
    lines = []
    for label, values in rows.items():
        low, middle, high = np.nanmin(values[keep]), np.nanmedian(values[keep]), np.nanmax(values[keep])
        lines.append(f"{begin}{label:<34} {low:7.3f} {middle:7.3f} {high:7.3f}")
    return [*lines, f"{begin}{'correlation of rho with gamma_1':<34} {map_correlation(ds):7.3f}"]


def _fits(measured: xr.Dataset, prediction: xr.Dataset) -> list[str]:
    lines = [f"\nJ = {measured.levels}, predicted from the power spectrum; isolated features {prediction.isolated:.3f}"]
    for variable in ("rho_rms", "eta_rmax_rms", "eta_cmod_rms"):
        for model in ("gaussian", "mixture"):
            fit = agreement(measured, prediction.sel(model=model), variable)
            lines.append(
                f"  {variable:<13} {model:<9} correlation {fit['correlation']:.3f}, median error "
                f"{100 * fit['relative_error']:.1f} %, bias {fit['bias']:+.3f}"
            )
    return lines


def kernel_summary(report: Report) -> str:
    """Number of kernels of each kind, the jumpiest ones, and the rank correlations.

    Parameters
    ----------
    report : Report
        Of :func:`analysis.kernel_report`.
    """
    from analysis.reports.kernels import CORRELATIONS, verdict  # matplotlib takes long to import

    table = report.datasets["kernels"]
    frame = kernel_frame(table)
    counts = ", ".join(f"{count} {kind}" for kind, count in frame.kind.value_counts().items())
    lines = [f"\n{table.layer}: {counts}", f"{_counts(table)}, {report.seconds:.1f} s"]
    if dead := frame.index[frame.kind == "dead"].tolist():
        lines.append(f"dead kernels, left out: {', '.join(map(str, dead))}")
    lines += [
        f"\n{verdict(table)}",
        f"The output is that of: {table.output}.",
        f"{'kernel':>6} {'kind':<9} {'wavelength':>10} {'angle':>6} {'share':>7} {'rho':>6} {'eta: RMax':>9} "
        f"{'CMod':>6} {'output':>6}",
    ]
    for row in frame[frame["rank"] > 0].nsmallest(8, "rank").itertuples():
        lines.append(
            f"{row.Index:>6} {row.kind:<9} {row.wavelength:>7.1f} px {row.orientation:>5.0f}° "
            f"{100 * row.share_of_change:>5.1f} % {row.rho:>6.3f} {row.eta_rmax:>9.3f} {row.eta_cmod:>6.3f} "
            f"{row.eta_output:>6.3f}"
        )
    lines += _correlations(table, CORRELATIONS)
    lines.append(f"\nResults and figures: {printable(report.folder)}/report.html, kernels.csv, kernels.nc, *.png")
    return "\n".join(lines)


def _correlations(table: xr.Dataset, pairs: Mapping[str, tuple[str, str]]) -> list[str]:
    """Lines of the rank correlations; in words what could not be correlated."""
    lines, unknown = [], []
    for label, names in pairs.items():
        value, low, high = rank_correlation(table, *names)
        if np.isnan(value):
            unknown.append(label)
        else:
            lines.append(f"  {label:<50} {value:5.2f}  ({low:.2f} to {high:.2f})")
    if lines:
        lines.insert(0, "\nRank correlations over the band-pass kernels, with 95 % intervals:")
    if unknown:
        count = int((table.kind == "band-pass").sum())
        lines.append(
            f"\nNo rank correlation of {count} band-pass kernels (four that differ are needed): {'; '.join(unknown)}"
        )
    return lines


def prescription_summary(report: Report) -> str:
    """Cheapest change that reaches the target, and points of the front.

    Parameters
    ----------
    report : Report
        Of :func:`analysis.prescribe_report`.
    """
    table = report.datasets["prescribe"]
    lines = [f"\n{table.layer}: {table.output}; spectrum {table.spectrum}, {table.fields} random fields"]
    if "sentence" in table.attrs:
        lines.append(f"\nThe cheapest change that reaches {table.target:g}:\n  {table.sentence}")
    lines.append("\nPoints of the front:")
    lines += [f"  {sentence(table, design)}" for design in spread_front(table, 8)]
    path = report.folder / "measured.csv"
    if path.is_file():
        lines.append("\nMeasured on photographs that gave no part of the spectrum:")
        for row in pd.read_csv(path).itertuples():
            found = f"{row.measured_eta:.3f} ± {row.measured_eta_stderr:.3f}"
            lines.append(f"  {row.name}: eta of the layer {found}, predicted {row.eta:.3f}")
    lines.append(f"\nResults: {printable(report.folder)}/prescribe.html, prescribe.csv, prescribe.nc, front.png")
    return "\n".join(lines)


def stability_summary(report: Report) -> str:
    """Table with a line for the plain network and for each remedy.

    Parameters
    ----------
    report : Report
        Of :func:`analysis.stability_report`.
    """
    from analysis.reports.stability import COLUMNS, orders, with_error  # torch is optional
    from analysis.stability.experiment import table

    comparison = report.datasets["stability"]
    rows = table(comparison)
    shown = [name for name in COLUMNS if name in rows and name not in ("top5", "ten_top5", "mfr", "mac", "variation")]
    texts = {COLUMNS[name][0]: [with_error(row, name) for _, row in rows.iterrows()] for name in shown}
    return "\n".join(
        [
            f"\n{comparison.network}, {comparison.pictures} images, {len(report.skipped)} skipped",
            pd.DataFrame(texts, rows.index).to_string(index_names=False),
            "± is the standard error over pictures. Times in the order of memory that is faster: "
            f"{orders(comparison)}.",
            f"\nResults and figures: {printable(report.folder)}/report.html, stability.csv, stability.nc, *.png",
        ]
    )


def verification_summary(table: pd.DataFrame) -> str:
    """Table of the statements, with the worst case of each.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`analysis.verify`.
    """
    lines = [f"{'statement':<38} {'cases':>7} {'violations':>10} {'largest':>9} {'search':>7}"]
    for row in table.itertuples():
        largest = f"{row.largest:9.1e}" if row.relation == "=" else f"{row.largest:9.4f}"
        searched = f"{row.searched:7.4f}" if np.isfinite(row.searched) else f"{'':7}"
        lines.append(f"{row.statement:<38} {row.cases:>7} {row.violations:>10} {largest} {searched}")
        lines.append(f"    random: {row.where}")
        if row.found:
            lines.append(f"    search: {row.found}")
    return "\n".join(lines)


def audit_summary(report: Report) -> str:
    """Verdict of an audit, and a line for each place with its aliased energy and blame.

    Parameters
    ----------
    report : Report
        Of :func:`analysis.audit_report`.
    """
    from analysis.audit.verdict import audit_frame  # needs torch

    audit = report.datasets["audit"]
    lines = [f"\n{audit.network}: {_counts(audit)}, {report.seconds:.1f} s\n", audit.verdict, ""]
    lines.append(f"{'place':<32} {'kind':<22} {'size':>12} {'aliased %':>12} {'blame %':>14} {'gone alone %':>13}")
    for row in audit_frame(audit).itertuples():
        size = f"{row.size_in}→{row.size_out}" if row.size_in else ""
        aliased, gain = (number(100 * share, 1) for share in (row.aliased_energy, row.gain))
        blame = number_with_error(100 * row.blame, 100 * row.blame_stderr)
        lines.append(f"{row.place:<32} {row.kind:<22} {size:>12} {aliased:>12} {blame:>14} {gain:>13}")
    lines.append(f"\nResults and figures: {printable(report.folder)}/report.html, audit.csv, audit.nc, *.png")
    return "\n".join(lines)


def _counts(dataset: xr.Dataset) -> str:
    return f"{dataset.images_used} images used, {dataset.images_skipped_count} skipped"
