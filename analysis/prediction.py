r"""Discrepancy and shift change predicted for actual filters, from the power spectrum of the images alone.

Two models of images share a given power spectrum and are opposite in everything else.

*Gaussian field.* The responses in a pooling window are jointly Gaussian; their covariance, with its non-circular
part, follows from filter and spectrum. Means over it are taken by quasi-Monte Carlo, in independent replicates that
state the error.

*Isolated features.* One localised feature, whose waves are all in phase at one point, at a random place. Its spectrum
is the same; what differs is that its phases are aligned, as they are at corners, ends and specks of photographs.

Photographs are Gaussian in the bulk, with a part of their energy in isolated features. The expected squares are linear
in that part, so one number, :func:`fit_isolated`, describes a set of photographs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import fft
from scipy.special import ndtri
from tqdm import tqdm

from analysis import _kernels
from analysis.heatmaps import SHIFTS, filter_coordinates, shift_coordinates
from analysis.translation import check_shift
from wavelets import DualTreePackets2D, FilterBank
from wavelets._check import integer, real_array
from wavelets._threads import over_batch

DRAWS = 2**13  # of one replicate: errors of 0.0005 with q = 1
REPLICATES = 8
DIRECTIONS, PHASES = 8, 4  # of isolated features: within 0.01 of many more for edge packets, exact for others
SILENCE = 1e-20
CHUNK = 16  # filters at a time: some 20 MB of spectra
LONG_NAMES = {
    "rho_rms": "rms of |RMax - CMod| / |CMod|",
    "eta_rmax_rms": "rms of |RMax(T_u X) - RMax(X)| / |RMax(X)|",
    "eta_cmod_rms": "rms of |CMod(T_u X) - CMod(X)| / |CMod(X)|",
}
MOMENTS = ("discrepancy", "cmod", "rmax", "rmax_change", "cmod_change")


def predict(
    kernels: ArrayLike | DualTreePackets2D,
    spectrum: ArrayLike,
    stride: int | None = None,
    shifts: Sequence[Sequence[float]] = SHIFTS,
    q: int = 1,
    isolated: float = 0.0,
    draws: int = DRAWS,
    seed: int = 0,
    progress: bool = True,
) -> xr.Dataset:
    r"""Predict discrepancy and shift change of filters on images of a given power spectrum.

    Parameters
    ----------
    kernels : array_like, shape (L, h, w), complex, or DualTreePackets2D
        Correlation kernels W, or a transform, whose kernels and coordinates are taken.
    spectrum : array_like, shape (P, P), real
        Power spectrum on the frequencies ``2 pi fftfreq(P)``; see :mod:`analysis.spectra`. P must exceed the kernels.
    stride : int, optional
        Stride m of the convolution, pixels; that of the transform by default.
    shifts : sequence of (float, float)
        Shifts u, vertical then horizontal, pixels.
    q : int
        Half-width of the pooling window.
    isolated : float
        Part of the energy in isolated features, 0 (Gaussian field) to 1.
    draws : int
        Points of the quasi-Monte Carlo rule, a power of 2; there are 8 independent replicates.
    seed : int
        The same seed gives the same prediction.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    xarray.Dataset
        Dimensions `filter` and `shift`. `rho_rms` :math:`= (\mathbb E\|R-C\|^2 / \mathbb E\|C\|^2)^{1/2}`,
        `eta_rmax_rms` and `eta_cmod_rms`, as :func:`analysis.heatmaps` measures them, and `_stderr` of each: standard
        error of the sampling. NaN for a filter that the spectrum does not excite. For a transform, the coordinates of
        the heatmap dataset as well, so that the same figures can be drawn.

    Raises
    ------
    TypeError
        If an argument has a wrong type.
    ValueError
        If a value is out of range or not finite, or the kernels with their window and shifts would wrap round the
        period of the spectrum.

    Notes
    -----
    theory.md 3.5 has the Gaussian prediction for a flat square spectrum; here filter and spectrum are arbitrary. The
    limit of vanishing bandwidth is :func:`analysis.gamma`.
    """
    if not 0 <= isolated <= 1:
        raise ValueError(f"isolated is {isolated!r}; expected a part of the energy, 0 to 1")
    parts = []
    if isolated < 1:
        parts.append((1 - isolated) * gaussian_moments(kernels, spectrum, stride, shifts, q, draws, seed, progress))
    if isolated > 0:
        parts.append(isolated * isolated_moments(kernels, spectrum, stride, shifts, q, progress))
    prediction = rms(sum(parts[1:], start=parts[0]))
    return prediction.assign_attrs(isolated=isolated, q=q)


def fit_isolated(measured: xr.Dataset, gaussian: xr.Dataset, isolated: xr.Dataset) -> float:
    """Part of the energy in isolated features that explains a measured discrepancy best.

    Parameters
    ----------
    measured : xarray.Dataset
        What :func:`analysis.heatmaps` returns.
    gaussian, isolated : xarray.Dataset
        What `predict` returns with ``isolated=0`` and ``isolated=1``.

    Returns
    -------
    float
        Least squares over the squared discrepancies of the band-pass filters, within [0, 1].

    Raises
    ------
    ValueError
        If the datasets have different filters, or no filter is left to compare.
    """
    sizes = [ds.sizes["filter"] for ds in (measured, gaussian, isolated)]
    if len(set(sizes)) != 1:
        raise ValueError(f"the datasets have {sizes} filters; expected the same")
    m, g, i = (ds.rho_rms.values**2 for ds in (measured, gaussian, isolated))
    keep = ~measured.low_pass.values & np.isfinite(m + g + i)
    x, y = (i - g)[keep], (m - g)[keep]
    if not (x**2).sum() > 0:
        raise ValueError("no band-pass filter distinguishes the two predictions")
    return float(np.clip((x @ y) / (x @ x), 0, 1))


def predict_like(
    measured: xr.Dataset,
    spectrum: ArrayLike,
    filters: str | FilterBank | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    progress: bool = True,
) -> xr.Dataset:
    """Predict the maps of a heatmap dataset: the Gaussian field, isolated features, and the mixture that fits best.

    Parameters
    ----------
    measured : xarray.Dataset
        What :func:`analysis.heatmaps` returns.
    spectrum : array_like, shape (P, P), real
        Power spectrum of the same images; see :func:`analysis.estimate_spectrum`.
    filters : str or FilterBank, optional
        By default the bank that the dataset names.
    draws, seed, progress
        As in `predict`.

    Returns
    -------
    xarray.Dataset
        As `predict`, with a dimension `model`: "gaussian", "isolated", "mixture". The attribute `isolated` is the part
        of the energy that `fit_isolated` found, from the discrepancy alone; the shift changes are not fitted.

    Raises
    ------
    TypeError, ValueError
        As `predict`.
    """
    levels, q = int(measured.attrs["levels"]), int(measured.attrs["q"])
    transform = DualTreePackets2D(levels, measured.attrs["filters"] if filters is None else filters, 2 ** (levels - 1))
    shifts = list(zip(measured.shift_y.values.tolist(), measured.shift_x.values.tolist(), strict=True))
    gaussian = gaussian_moments(transform, spectrum, None, shifts, q, draws, seed, progress)
    isolated = isolated_moments(transform, spectrum, None, shifts, q, progress)
    share = fit_isolated(measured, rms(gaussian), rms(isolated))
    models = [rms(gaussian), rms(isolated), rms((1 - share) * gaussian + share * isolated)]
    prediction = xr.concat(models, xr.Variable("model", ["gaussian", "isolated", "mixture"]))
    title = "Prediction of the RMax-CMod discrepancy and shift stability from the power spectrum"
    return prediction.assign_attrs(measured.attrs | {"title": title, "isolated": share, "draws": draws, "seed": seed})


def agreement(measured: xr.Dataset, predicted: xr.Dataset, variable: str = "rho_rms") -> dict[str, float]:
    """How well a prediction meets a measurement, over the band-pass filters and all shifts.

    Parameters
    ----------
    measured, predicted : xarray.Dataset
        With the variable, of the same dimensions.
    variable : str

    Returns
    -------
    dict
        `correlation` (Pearson), `relative_error` (median of the absolute one), `bias` (mean of predicted minus
        measured).

    Raises
    ------
    ValueError
        If the variable has different shapes.
    """
    m, p = measured[variable], predicted[variable]
    if m.sizes != p.sizes:
        raise ValueError(f"{variable} is measured as {dict(m.sizes)} and predicted as {dict(p.sizes)}")
    keep = ~measured.low_pass.values
    m, p = (x.transpose("filter", ...).values[keep].ravel() for x in (m, p))
    finite = np.isfinite(m) & np.isfinite(p)
    m, p = m[finite], p[finite]
    return {
        "correlation": float(np.corrcoef(m, p)[0, 1]),
        "relative_error": float(np.median(np.abs(p - m) / m)),
        "bias": float((p - m).mean()),
    }


def rms(moments: xr.Dataset) -> xr.Dataset:
    """Root-mean-square ratios of expected squares.

    Parameters
    ----------
    moments : xarray.Dataset
        Of `gaussian_moments`, `isolated_moments`, or a weighted sum of the two.

    Returns
    -------
    xarray.Dataset
        `rho_rms`, `eta_rmax_rms`, `eta_cmod_rms`, and the standard error of each where there are replicates.
    """
    pairs = {
        "rho_rms": ("discrepancy", "cmod"),
        "eta_rmax_rms": ("rmax_change", "rmax"),
        "eta_cmod_rms": ("cmod_change", "cmod"),
    }
    sampled = "replicate" in moments.dims
    mean = moments.mean("replicate") if sampled else moments
    result = xr.Dataset(attrs=moments.attrs)
    for name, (top, bottom) in pairs.items():
        result[name] = _ratio(mean, top, bottom).assign_attrs(long_name=f"predicted {LONG_NAMES[name]}", units="1")
        spread = _ratio(moments, top, bottom).std("replicate", ddof=1) if sampled else 0 * result[name]
        result[f"{name}_stderr"] = spread / np.sqrt(moments.sizes.get("replicate", 1))
    return result


def gaussian_moments(
    kernels: ArrayLike | DualTreePackets2D,
    spectrum: ArrayLike,
    stride: int | None = None,
    shifts: Sequence[Sequence[float]] = SHIFTS,
    q: int = 1,
    draws: int = DRAWS,
    seed: int = 0,
    progress: bool = True,
) -> xr.Dataset:
    """Expected squares of the operators on a Gaussian field.

    Parameters and errors are those of `predict`.

    Returns
    -------
    xarray.Dataset
        Dimensions `replicate`, `filter` and `shift`: `discrepancy`, `cmod`, `rmax`, `rmax_change`, `cmod_change`,
        relative to the mean square of CMod.
    """
    bank, power, stride, moves = _checked(kernels, spectrum, stride, shifts, q)
    window = _window(stride, q)
    out = _empty_moments(kernels, moves, REPLICATES)
    normal = _normal_draws(2 * len(window) + 2, draws, seed)
    with _bar("Gaussian field", len(bank) * len(moves), progress) as bar:
        for s, u in enumerate(moves):
            points = np.concatenate([window, window - u])
            for start in range(0, len(bank), CHUNK):
                part = slice(start, start + CHUNK)
                covariance, pseudo = response_covariance(bank[part], power, points)
                roots = _square_roots(covariance, pseudo, [len(window) // 2, len(window) + len(window) // 2])
                for name, values in _gaussian_means(roots, normal, len(window)).items():
                    out[name].values[..., part, s] = values.T
                bar.update(len(roots))
    return _reduced(out)


def isolated_moments(
    kernels: ArrayLike | DualTreePackets2D,
    spectrum: ArrayLike,
    stride: int | None = None,
    shifts: Sequence[Sequence[float]] = SHIFTS,
    q: int = 1,
    progress: bool = True,
) -> xr.Dataset:
    r"""Expected squares of the operators on isolated features.

    Parameters and errors are those of `predict`.

    Returns
    -------
    xarray.Dataset
        As `gaussian_moments`, without replicates: means over all whole-pixel positions, and over four phases and eight
        orientations of the feature.

    Notes
    -----
    A feature has the Fourier transform :math:`\sqrt{S(\omega)}\,e^{i\psi\operatorname{sgn}\langle\omega,e\rangle}`:
    real, with spectrum S, even for :math:`\psi=0` and odd along e for :math:`\psi=\pi/2`. For an analytic filter
    :math:`\psi` moves the phase of the response and e does not matter; for an edge packet it does.
    """
    bank, power, stride, moves = _checked(kernels, spectrum, stride, shifts, q)
    size = power.shape[0]
    power[0, 0] = 0.0  # a constant is no feature
    omega = 2 * np.pi * fft.fftfreq(size)
    angles = np.pi * (np.arange(DIRECTIONS) + 0.5) / DIRECTIONS
    signs = np.sign(np.cos(angles)[:, None, None] * omega[:, None] + np.sin(angles)[:, None, None] * omega)
    signs = (signs - _mirrored(signs)) / 2  # odd also at the Nyquist frequencies of an even grid
    psi = np.pi * np.arange(PHASES) / PHASES  # the other half of the circle is the negative of this one
    out = _empty_moments(kernels, moves)

    def work(part: slice) -> None:
        for index in range(part.start, part.stop):
            response = _transfer(bank[index], size) * np.sqrt(power)
            for s, u in enumerate(moves):
                moved = response * _phases(omega, -u[0])[:, None] * _phases(omega, -u[1])
                sums = np.zeros(len(MOMENTS))
                even, even_moved = fft.ifft2(np.stack([response, moved]))
                for sign in signs:
                    odd, odd_moved = fft.ifft2(-1j * sign * np.stack([response, moved]))
                    for c, d in zip(np.cos(psi), np.sin(psi), strict=True):
                        _kernels.feature_sums(c * even + d * odd, c * even_moved + d * odd_moved, stride, q, sums)
                for name, value in zip(MOMENTS, sums, strict=True):
                    out[name].values[index, s] = value
                bar.update()

    with _bar("isolated features", len(bank) * len(moves), progress) as bar:
        over_batch(work, len(bank))
    return _reduced(out)


def response_covariance(
    kernels: ArrayLike, spectrum: ArrayLike, points: ArrayLike
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    r"""Second moments of filter responses to a stationary field.

    Parameters
    ----------
    kernels : array_like, shape (L, h, w), complex
        Correlation kernels W.
    spectrum : array_like, shape (P, P), real
        Power spectrum S of the field.
    points : array_like, shape (n, 2)
        Positions of the responses, vertical and horizontal, pixels; fractions are allowed.

    Returns
    -------
    covariance, pseudo : ndarray, shape (L, n, n), complex128
        :math:`\mathbb E Z_a\overline{Z_b}` and :math:`\mathbb E Z_a Z_b`. The second vanishes for circular responses,
        as those of an analytic filter are.
    """
    kernels, power = np.asarray(kernels), np.asarray(spectrum, dtype=np.float64)
    points = np.asarray(points, dtype=np.float64)
    lags = points[:, None] - points
    rows, at_row = np.unique(lags[..., 0], return_inverse=True)
    columns, at_column = np.unique(lags[..., 1], return_inverse=True)
    omega = 2 * np.pi * fft.fftfreq(power.shape[0])
    left, right = _phases(omega, rows), _phases(omega, columns).T
    transfer = _transfer(kernels, power.shape[0])
    second = []
    for product in (power * np.abs(transfer) ** 2, power * transfer * _mirrored(transfer)):
        table = left @ product @ right / power.size
        second.append(table[:, at_row.reshape(lags.shape[:2]), at_column.reshape(lags.shape[:2])])
    return second[0], second[1]


def square_covariance(omega: ArrayLike, bandwidth: float, q: int = 1) -> NDArray[np.complex128]:
    r"""Covariance in a pooling window for a flat spectrum on a square.

    .. math:: \mathbb E Z_p\overline{Z_{p'}} = e^{i\langle\omega,p-p'\rangle}
              \operatorname{sinc}\tfrac{\kappa'(p_1-p'_1)}2\,\operatorname{sinc}\tfrac{\kappa'(p_2-p'_2)}2

    Parameters
    ----------
    omega : array_like, shape (2,)
        :math:`m\theta`, rad.
    bandwidth : float
        :math:`\kappa' = m\kappa`, rad.
    q : int
        Half-width of the window.

    Returns
    -------
    ndarray, shape (n, n), complex128
        n = (2 q + 1)**2; for :func:`expected_discrepancy`.
    """
    p = _window(1, q)
    lags = p[:, None] - p
    return np.exp(1j * lags @ np.asarray(omega)) * np.sinc(bandwidth * lags / (2 * np.pi)).prod(axis=-1)


def expected_discrepancy(
    covariance: ArrayLike, pseudo: ArrayLike | None = None, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """Root-mean-square discrepancy of Gaussian responses with a given covariance.

    Parameters
    ----------
    covariance : array_like, shape (n, n), complex
        Of the responses in a pooling window, n odd; the middle one is the centre.
    pseudo : array_like, shape (n, n), complex, optional
        Mean products without conjugation; 0 (circular) by default.
    draws : int
        Points of each of 8 replicates, a power of 2.
    seed : int

    Returns
    -------
    rho, stderr : float
    """
    covariance = np.asarray(covariance, dtype=complex)[None]
    pseudo = np.zeros_like(covariance) if pseudo is None else np.asarray(pseudo, dtype=complex)[None]
    n = covariance.shape[-1]
    roots = _square_roots(covariance, pseudo, [n // 2])
    normal = _normal_draws(n + 1, draws, seed)
    y = normal @ roots[0]
    squares = (y[..., :n].max(axis=-1) - np.hypot(y[..., n // 2], y[..., n])) ** 2
    ratios = np.sqrt(squares.mean(axis=1) / covariance[0, n // 2, n // 2].real)
    return float(np.sqrt((ratios**2).mean())), float(ratios.std(ddof=1) / np.sqrt(len(ratios)))


def _bar(name: str, total: int, progress: bool) -> tqdm:
    return tqdm(total=total, desc=name, unit="filter", disable=not progress)


def _checked(
    kernels: ArrayLike | DualTreePackets2D,
    spectrum: ArrayLike,
    stride: int | None,
    shifts: Sequence[Sequence[float]],
    q: int,
) -> tuple[NDArray[np.complex128], NDArray[np.float64], int, NDArray[np.float64]]:
    """Kernels (L, h, w), spectrum, stride, and shifts (S, 2), after all checks."""
    if isinstance(kernels, DualTreePackets2D):
        stride = kernels.stride if stride is None else stride
        kernels = kernels.kernels()
    if stride is None:
        raise TypeError("stride is missing; expected the stride m of the convolution, pixels")
    integer("stride", stride, 1)
    integer("q", q, 0)
    kernels = np.asarray(kernels)
    if kernels.ndim != 3:
        raise ValueError(f"kernels has shape {kernels.shape}; expected (L, h, w)")
    real_array(kernels.real, "kernels", 3)
    real_array(kernels.imag, "kernels", 3)
    power = real_array(spectrum, "spectrum", 2).astype(np.float64)  # a copy
    if power.ndim != 2 or power.shape[0] != power.shape[1]:
        raise ValueError(f"spectrum has shape {power.shape}; expected a square (P, P)")
    if (power < 0).any():
        raise ValueError(f"spectrum holds {power.min():g}; expected energies of at least 0")
    if np.abs(power - _mirrored(power)).max() > 1e-6 * power.max():
        raise ValueError(
            "spectrum differs at opposite frequencies; expected that of real images, in the order of fftfreq"
        )
    moves = np.array([check_shift(shift) for shift in shifts]).reshape(-1, 2)
    if len(moves) == 0:
        raise ValueError("shifts is empty; expected at least one, such as (0, 1)")
    reach = max(kernels.shape[1:]) + 2 * q * stride + int(np.ceil(np.abs(moves).max()))
    if reach > power.shape[0]:
        raise ValueError(
            f"kernels of {kernels.shape[1]}x{kernels.shape[2]} pixels with their window and shifts reach over {reach} "
            f"pixels; a spectrum of {power.shape[0]} points would wrap them round: estimate it with more"
        )
    return kernels.astype(complex), power, stride, moves


def _window(stride: int, q: int) -> NDArray[np.float64]:
    """Positions of a pooling window, shape ((2 q + 1)**2, 2), pixels; the middle one is the centre."""
    p = stride * np.arange(-q, q + 1.0)
    return np.stack(np.meshgrid(p, p, indexing="ij"), axis=-1).reshape(-1, 2)


def _transfer(kernels: NDArray, size: int) -> NDArray[np.complex128]:
    """Factor by which correlation with a kernel multiplies each wave: sum of W[k] exp(i <omega, k>)."""
    return np.conj(fft.fft2(np.conj(kernels), (size, size)))


def _mirrored(plane: NDArray) -> NDArray:
    """Values at the negative frequencies, planes (..., P, P) on the frequencies of fftfreq."""
    return np.roll(plane[..., ::-1, ::-1], (1, 1), (-2, -1))


def _phases(omega: NDArray[np.float64], lags: ArrayLike) -> NDArray[np.complex128]:
    """exp(i lag omega), shape (..., P); real at the Nyquist frequency of an even grid, as for real images."""
    factors = np.exp(1j * np.asarray(lags)[..., None] * omega)
    if omega.size % 2 == 0:
        factors[..., omega.size // 2] = factors[..., omega.size // 2].real
    return factors


def _normal_draws(dimension: int, draws: int, seed: int) -> NDArray[np.float64]:
    """Scrambled Sobol points as normal variables, shape (replicates, draws, dimension)."""
    from scipy.stats import qmc  # half a second to import

    if integer("draws", draws, 2) & (draws - 1):
        raise ValueError(f"draws is {draws}; expected a power of 2")
    integer("seed", seed, 0)
    rngs = np.random.default_rng(seed).spawn(REPLICATES)
    points = np.stack([qmc.Sobol(dimension, rng=rng).random(draws) for rng in rngs])
    return ndtri(np.clip(points, 1e-15, 1 - 1e-15))


def _square_roots(
    covariance: NDArray[np.complex128], pseudo: NDArray[np.complex128], centres: list[int]
) -> NDArray[np.float64]:
    """Matrices that turn normal draws into all real parts, then the imaginary parts at the centres.

    covariance, pseudo (L, n, n); result (L, d, d) with d = n + len(centres).
    """
    real = (covariance + pseudo).real / 2
    imaginary = (covariance - pseudo).real[:, centres][:, :, centres] / 2
    cross = (pseudo - covariance).imag[:, :, centres] / 2
    joint = np.block([[real, cross], [cross.transpose(0, 2, 1), imaginary]])
    energies, directions = np.linalg.eigh(joint)
    # The first Sobol coordinates are the most even ones: they get the largest energies.
    roots = directions * np.sqrt(np.maximum(energies, 0))[:, None]
    return roots[:, :, ::-1].transpose(0, 2, 1)


def _gaussian_means(roots: NDArray, normal: NDArray, n: int) -> dict[str, NDArray[np.float64]]:
    """Mean squares of the operators for two windows of n samples; roots (L, 2 n + 2, .), results (L, replicates)."""
    out = {name: np.empty((len(roots), len(normal))) for name in MOMENTS}

    def work(part: slice) -> None:
        for index in range(part.start, part.stop):
            y = normal @ roots[index]
            r, moved_r = y[..., :n].max(axis=-1), y[..., n : 2 * n].max(axis=-1)
            c, moved_c = np.hypot(y[..., n // 2], y[..., -2]), np.hypot(y[..., n + n // 2], y[..., -1])
            values = (r - c, c, r, moved_r - r, moved_c - c)
            for name, value in zip(MOMENTS, values, strict=True):
                out[name][index] = (value**2).mean(axis=1)

    over_batch(work, len(roots))
    return out


def _empty_moments(
    kernels: ArrayLike | DualTreePackets2D, moves: NDArray[np.float64], replicates: int | None = None
) -> xr.Dataset:
    coords = shift_coordinates(moves)
    attributes: dict[str, object] = {}
    if isinstance(kernels, DualTreePackets2D):
        coords |= filter_coordinates(kernels)
        attributes = {"levels": kernels.levels, "stride": kernels.stride, "filters": kernels.bank.name}
        count = len(kernels.frequencies)
    else:
        count = len(np.asarray(kernels))
    dims = (("replicate",) if replicates else ()) + ("filter", "shift")
    shape = ((replicates,) if replicates else ()) + (count, len(moves))
    return xr.Dataset({name: (dims, np.zeros(shape)) for name in MOMENTS}, coords, attributes)


def _reduced(moments: xr.Dataset) -> xr.Dataset:
    """Take energies relative to that of CMod; those that no shift enters lose that dimension."""
    for name in ("discrepancy", "cmod", "rmax"):
        moments[name] = moments[name].mean("shift")
    energy = moments.cmod.mean("replicate") if "replicate" in moments.dims else moments.cmod
    with np.errstate(invalid="ignore", divide="ignore"):
        # Beside the loudest filter, one that the spectrum does not excite has rounding errors only.
        return moments / energy.where(energy > SILENCE * energy.max())


def _ratio(moments: xr.Dataset, top: str, bottom: str) -> xr.DataArray:
    return np.sqrt(moments[top] / moments[bottom])
