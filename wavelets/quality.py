"""Quality of filter banks: the numbers that decide between dual trees (theory.md 4.5)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavelets.engine import rule
from wavelets.filters import FilterBank, filter_bank, orthonormality_error
from wavelets.packets import DualTreePackets1D, check_levels, mean_frequency


class PacketQuality(NamedTuple):
    """Quality of the 1-D packets of one bank, in order of frequency; every field has shape (2**J,)."""

    leakage: NDArray[np.float64]
    cell_energy: NDArray[np.float64]
    double_cell_energy: NDArray[np.float64]
    circularity: NDArray[np.float64]
    centroid: NDArray[np.float64]


class BankQuality(NamedTuple):
    """One row of the table that compares banks."""

    name: str
    taps: int
    vanishing_moments: int
    orthonormality_error: float
    half_sample_error: float
    interior_leakage: float
    edge_leakage: float
    cell_energy: float
    double_cell_energy: float


def band_energy(kernels: ArrayLike, low: ArrayLike, high: ArrayLike) -> NDArray[np.float64]:
    r"""Fraction of the energy of kernels at frequencies between `low` and `high`, exactly.

    Parameters
    ----------
    kernels : array_like, shape (..., K), real or complex
    low, high : array_like, broadcast against (...), rad/sample

    Returns
    -------
    ndarray, shape (...)

    Notes
    -----
    With the autocorrelation :math:`r`, and without any frequency grid,

    .. math:: \frac1{2\pi}\int_a^b|\widehat\psi|^2 = \frac{b-a}{2\pi}r[0]
        + \operatorname{Re}\sum_{n>0} r[n] \frac{e^{-ian}-e^{-ibn}}{i\pi n}.
    """
    kernels = np.asarray(kernels)
    low, high = (np.asarray(edge, dtype=np.float64)[..., None] for edge in (low, high))
    size = kernels.shape[-1]
    lags = np.arange(1, size)
    r = np.stack([(kernels[..., n:] * kernels[..., : size - n].conj()).sum(axis=-1) for n in range(size)], axis=-1)
    waves = (np.exp(-1j * low * lags) - np.exp(-1j * high * lags)) / (1j * np.pi * lags)
    energy = (high - low)[..., 0] / (2 * np.pi) * r[..., 0].real + (r[..., 1:] * waves).real.sum(axis=-1)
    return np.asarray(energy / r[..., 0].real, dtype=np.float64)


def packet_quality(bank: FilterBank | str, levels: int) -> PacketQuality:
    r"""Measure every 1-D packet of a bank.

    Parameters
    ----------
    bank : FilterBank or str
    levels : int
        Depth J.

    Returns
    -------
    PacketQuality
        `leakage`: energy on the wrong half-line. `cell_energy`, `double_cell_energy`: energy in the windows of width
        :math:`\pi/2^J` and :math:`2\pi/2^J = \pi/m` round the nominal frequency. `circularity`:
        :math:`|\sum\psi^2|/\sum|\psi|^2`. `centroid`: circular mean frequency, rad/sample.
    """
    t = DualTreePackets1D(levels, bank)
    order = np.argsort(rule.frequency_index(levels))
    psi = t.kernels()[order]
    centre = t.frequencies[order]
    half = np.pi / 2 ** (levels + 1)
    return PacketQuality(
        leakage=band_energy(psi, -np.pi, 0.0),
        cell_energy=band_energy(psi, centre - half, centre + half),
        double_cell_energy=band_energy(psi, centre - 2 * half, centre + 2 * half),
        circularity=np.abs((psi**2).sum(axis=1)) / (np.abs(psi) ** 2).sum(axis=1),
        centroid=mean_frequency(psi) % (2 * np.pi),
    )


def half_sample_error(bank: FilterBank) -> float:
    r"""Relative :math:`L^2` error of :math:`\widehat h_2(\omega) = e^{-i\omega/2}\widehat h_1(\omega)`.

    Parameters
    ----------
    bank : FilterBank

    Returns
    -------
    float
        Of the main-stage low-pass filters, as convolution filters, over the whole frequency line (theory.md 4.1).
    """
    omega = np.linspace(-np.pi, np.pi, 4096, endpoint=False) + np.pi / 4096
    # Correlation kernels reversed in time are convolution filters; both have the same length, so conjugation will do.
    h1, h2 = (np.exp(1j * omega[:, None] * np.arange(h.size)) @ h for h in (bank.h1, bank.h2))
    return float(np.linalg.norm(h2 - np.exp(-0.5j * omega) * h1) / np.linalg.norm(h1))


def vanishing_moments(bank: FilterBank) -> int:
    """Count the zeros at pi of the main-stage low-pass filters.

    Parameters
    ----------
    bank : FilterBank

    Returns
    -------
    int
        Moments ``sum_n (-1)**n n**k h[n]``, k = 0, 1, ..., that vanish to 1e-5 of their terms in both trees: printed
        tables are not more exact.
    """
    n = np.arange(bank.h1.size) - (bank.h1.size - 1) / 2
    for moment in range(bank.h1.size):
        scale = np.abs(n**moment * bank.h1).sum()
        if any(abs(((-1.0) ** np.arange(h.size) * n**moment) @ h) > 1e-5 * scale for h in (bank.h1, bank.h2)):
            return moment
    return bank.h1.size


def compare_banks(names: Iterable[str | FilterBank], levels: int) -> list[BankQuality]:
    """Compare filter banks at one depth.

    Parameters
    ----------
    names : iterable of str or FilterBank
    levels : int
        Depth J, at least 2 (a tree of depth 1 has edge packets only).

    Returns
    -------
    list of BankQuality
        The largest leakage of the interior and of the edge packets; the smallest energy of the interior packets in
        their cell and in the doubled cell.

    Raises
    ------
    TypeError
        If `levels` is not an integer, or `names` one string.
    ValueError
        If `levels` is below 2.
    """
    if isinstance(names, str):
        raise TypeError(f"names is {names!r}, one string; expected several banks, such as [{names!r}]")
    if check_levels(levels) < 2:
        raise ValueError(f"levels is {levels}; expected at least 2, since depth 1 has no interior packets")
    rows = []
    for name in names:
        bank = name if isinstance(name, FilterBank) else filter_bank(name)
        q = packet_quality(bank, levels)
        rows.append(
            BankQuality(
                bank.name,
                bank.h1.size,
                vanishing_moments(bank),
                max(orthonormality_error(h) for h in (bank.h1, bank.h2, bank.h_first)),
                half_sample_error(bank),
                float(q.leakage[1:-1].max()),
                float(q.leakage[[0, -1]].max()),
                float(q.cell_energy[1:-1].min()),
                float(q.double_cell_energy[1:-1].min()),
            )
        )
    return rows
