"""What all pictures share: colours, ticks in units of pi, and the discrete-time Fourier transform for display."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from numpy.typing import ArrayLike, NDArray

# Okabe and Ito's palette, which colour-blind readers can tell apart.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"

# Perceptually uniform from near white to black: darker = larger, over the widest range of lightness there is.
SEQUENTIAL = "magma_r"

PI_TICKS = {"−π": -np.pi, "−π/2": -np.pi / 2, "0": 0.0, "π/2": np.pi / 2, "π": np.pi}


def pi_axis(ax: Axes, which: str, label: str, low: float = -np.pi, high: float = np.pi) -> None:
    """Make an axis one of frequency: limits, ticks at multiples of pi/2, label with its unit.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    which : {"x", "y"}
    label : str
        The symbol, without the unit.
    low, high : float
        Limits, rad/sample.
    """
    ticks = {name: value for name, value in PI_TICKS.items() if low <= value <= high}
    ax.set(**{f"{which}lim": (low, high), f"{which}label": f"{label} (rad/sample)"})
    getattr(ax, f"set_{which}ticks")(list(ticks.values()), list(ticks))


def frequency_plane(ax: Axes, low: tuple[float, float] = (-np.pi, -np.pi), high: float = np.pi) -> None:
    """Make axes the Fourier plane, vertical frequency upwards.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    low : tuple of float
        Lower limits, vertical then horizontal, rad/sample.
    high : float
        Upper limit of both, rad/sample.
    """
    pi_axis(ax, "y", "$\\omega_y$", low[0], high)
    pi_axis(ax, "x", "$\\omega_x$", low[1], high)
    ax.set_aspect("equal")


def colour_bar(ax: Axes, mappable: ScalarMappable, label: str) -> Colorbar:
    """Add a colour bar as high as the axes.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    mappable : matplotlib.cm.ScalarMappable
    label : str

    Returns
    -------
    matplotlib.colorbar.Colorbar
    """
    bar = ax.figure.colorbar(mappable, ax=ax, label=label, fraction=0.06, aspect=20)
    # Rasterised, as matplotlib wants it, every bar costs a canvas of the whole figure when a PDF is written.
    bar.solids.set(rasterized=False, edgecolor="face")
    return bar


def spectrum(kernels: ArrayLike, omega_y: ArrayLike, omega_x: ArrayLike) -> NDArray[np.complex128]:
    r"""Fourier transform :math:`\sum_n w[n] e^{-i\langle\omega,n\rangle}` of kernels on a grid of frequencies.

    Parameters
    ----------
    kernels : array_like, shape (..., K, K), real or complex
    omega_y : array_like, shape (P,), rad/sample
    omega_x : array_like, shape (Q,), rad/sample

    Returns
    -------
    ndarray, shape (..., P, Q), complex128
        Up to a phase, which no picture shows.
    """
    kernels = np.asarray(kernels)
    rows = np.exp(-1j * np.outer(omega_y, np.arange(kernels.shape[-2])))
    columns = np.exp(-1j * np.outer(np.arange(kernels.shape[-1]), omega_x))
    return rows @ kernels @ columns
