"""Phases that max pooling sees of a wave: on a circle, as the wave moves, and where that lies in the Fourier plane."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from analysis.plots.fourier_plane import draw_plane
from analysis.plots.style import BLACK, BLUE, GREEN, VERMILION, square_panels
from analysis.theory import gamma, largest_cosine


def phase_clock_figure(
    theta: tuple[float, float],
    shift: float = 0.0,
    stride: int = 4,
    q: int = 1,
    plane: ArrayLike | None = None,
    largest_shift: float = 8.0,
) -> Figure:
    r"""Phases of one pooling window on a circle; RMax and CMod of the wave as it moves; its place over gamma.

    Parameters
    ----------
    theta : (float, float)
        Frequency of the wave, vertical then horizontal, rad/pixel.
    shift : float
        By how much the wave has moved to the right, pixels.
    stride : int
        Stride m of the convolution, pixels.
    q : int
        Half-width of the pooling window.
    plane : array_like, shape (P, P), optional
        :math:`\gamma_q(m\theta)` over the plane, as :func:`analysis.gamma_map` gives it; without it no third panel.
    largest_shift : float
        End of the axis of shifts, pixels.

    Returns
    -------
    matplotlib.figure.Figure
    """
    omega = stride * np.asarray(theta, dtype=np.float64)
    places = np.arange(-q, q + 1)
    phases = (omega[0] * places[:, None] + omega[1] * places).ravel() - theta[1] * shift
    figure, axes = square_panels(1, (0.75,) if plane is None else (0.75, 0.85), side=2.9, right=0.2, top=0.45)
    clock, curve = axes[0, :2]
    circle = np.linspace(0, 2 * np.pi, 200)
    clock.plot(np.cos(circle), np.sin(circle), color="0.8", linewidth=1)
    best = np.cos(phases).argmax()
    clock.plot([0, np.cos(phases[best])], [0, np.sin(phases[best])], color=VERMILION, linewidth=1.2)
    clock.plot(np.cos(phases), np.sin(phases), "o", color=BLUE, markeredgecolor=BLACK, markersize=9, alpha=0.8)
    clock.plot(np.cos(phases[best]), np.sin(phases[best]), "o", color=VERMILION, markeredgecolor=BLACK, markersize=11)
    clock.axvline(np.cos(phases[best]), color=VERMILION, linewidth=1, linestyle=":")
    clock.set(xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), xlabel="real response", yticks=[])
    clock.set_title(f"the {phases.size} phases of the window", fontsize=11)
    u = np.linspace(0, largest_shift, 241)
    curve.plot(u, largest_cosine(-theta[1] * u, omega, q), color=VERMILION, label="RMax: the largest")
    curve.plot(u, np.ones_like(u), color=BLUE, linestyle="--", label="CMod: the radius")
    curve.plot(shift, np.cos(phases[best]), "o", color=VERMILION, markeredgecolor=BLACK, markersize=9)
    curve.set(xlabel="shift to the right (pixels)", ylabel="response", ylim=(-1.1, 1.55), xlim=(0, largest_shift))
    curve.set_title(f"as the wave moves, γ = {float(gamma(omega, q)):.2f}", fontsize=11)
    curve.legend(fontsize=9, loc="upper left", ncols=1)
    if plane is not None:
        draw_plane(axes[0, 2], plane)
        for sign in (1, -1):
            axes[0, 2].plot(sign * theta[1], sign * theta[0], "o", color=GREEN, markeredgecolor="white", markersize=11)
        axes[0, 2].set_title(f"where θ lies over γ(mθ), m = {stride}", fontsize=11)
    return figure
