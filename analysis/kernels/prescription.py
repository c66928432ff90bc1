"""From a layer and a spectrum to the changes that make it stable, their costs, and the cheapest that is enough."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from analysis.kernels.description import characteristic_frequencies
from analysis.kernels.designs import Energies, Way, WayMaps, memory, multiplications, ways_of
from analysis.kernels.layer import FirstLayer
from analysis.measurements.ratios import rms_statistics
from analysis.measurements.shift_experiment import SHIFTS, check_shifts, labelled
from analysis.measurements.spectra import (
    check_spectra,
    check_spectrum,
    flat_spectrum,
    power_law_spectrum,
)
from analysis.runs.feed import run
from analysis.runs.progress import track
from wavelets.checks import integer
from wavelets.kernel_kinds import kernel_kinds

FIELDS = 8
ISOLATED, POINTS = 0.5, 1.2
"""Part of the energy in isolated points, and how many there are in the area of a kernel.

Empirical, from a few values on an earlier embedded layer and AlexNet: on a Gaussian field (part 0) changes are 10 %
and 21 % too small in the median. The number goes with the area because photographs look alike at all scales.
"""
CONTRAST = 0.25  # standard deviation of pixels in [0, 1] of the model spectra, about that of photographs
MODELS: dict[str, Callable[[int], NDArray[np.float64]]] = {"1/f^2": power_law_spectrum, "flat": flat_spectrum}


def prescribe(
    layer: FirstLayer,
    spectrum: str | ArrayLike = "1/f^2",
    target: float | None = None,
    shifts: Sequence[Sequence[float]] = SHIFTS,
    size: int = 224,
    fields: int = FIELDS,
    seed: int = 0,
    isolated: float = ISOLATED,
    activation: str = "relu",
    progress: bool = True,
) -> xr.Dataset:
    r"""Predict what changes of a layer's pooling do to its stability, and what each costs.

    Parameters
    ----------
    layer : FirstLayer
        Convolution, bias or batch normalisation if known, ReLU, and max pooling with stride 2.
    spectrum : {"1/f^2", "flat"} or array_like, shape (P, P) or (3, 3, P, P)
        Power spectrum of the pictures, pixels in [0, 1]; see :func:`analysis.estimate_spectrum`. The models, and a
        spectrum of the luminance for kernels in colour, are of grey pictures; pixels of the models have a standard
        deviation of 0.25.
    target : float, optional
        Relative change of the layer's output that is to be reached: the cheapest change that does is named.
    shifts : sequence of (float, float)
        Shifts u, vertical then horizontal, pixels.
    size : int
        Side of the pictures, pixels.
    fields : int
        Random fields over which the prediction is a mean, at least 2.
    seed : int
        The same seed gives the same prediction.
    isolated : float
        Part of the energy of the fields in isolated points, with the same spectrum; 0 is a Gaussian field, and the
        default what suits photographs.
    activation : str
        "relu". Others are refused: the prediction is for maps of that activation, and one that is not monotone does not
        commute with the pooling.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    xarray.Dataset
        Along `design`: `name`; `eta`, the relative change of the layer's output, root of the ratio of squares summed
        over kernels, mean over shifts, with `eta_stderr`, the error of the sampling; `rho`, the relative distance from
        the output of CMod; `multiplications` and `memory` over those of the layer as it is, which is design 0; `front`,
        whether no other design is as stable for as few multiplications; `way` (design, kernel), position along `ways`
        of what becomes of each kernel. Along `ways` and `kernel`: `kernel_eta`, `kernel_rho`, `kernel_change`. Along
        `kernel`: `theta_y`, `theta_x`, as :func:`describe_kernels` finds them. The attribute `answer` is the position
        of the cheapest design that reaches the target, `sentence` says it in words.

    Raises
    ------
    TypeError
        If an argument has a wrong type.
    ValueError
        If a value is out of range, the layer has no pooling, the activation is another one, the outputs are zero
        or overflow, or no design reaches the target; the message names the best.

    Notes
    -----
    theory.md 3.7. The prediction is the measurement of :func:`measure_designs` on a sample of random fields with the
    given spectrum: white noise, part Gaussian and part isolated points, filtered. CMod is for band-pass kernels; those
    to turn are chosen one after the other, each time the one that lowers the change of the layer most. A low-pass
    filter lowers eta by what it takes away as well: `rho` does not fall with it. The model spectrum 1/f^2 orders
    designs as photographs do, but eta is then 15 to 74 % too high in the median (four layers, theory.md 3.7).
    """
    _check_layer(layer, activation, target)
    integer("fields", fields, 2)
    integer("seed", seed, 0)
    if not (np.ndim(isolated) == 0 and np.isreal(isolated) and 0 <= isolated <= 1):
        raise ValueError(f"isolated is {isolated!r}; expected a part of the energy, 0 to 1")
    root, points = _root_of_spectrum(layer, spectrum, integer("size", size, 1))
    ways = tuple(ways_of(layer))
    maps = WayMaps(layer, ways, min(size, points), tuple(check_shifts(shifts)))
    rng = np.random.default_rng(seed)
    sampled = [
        maps(_field(root, layer, isolated, rng)[..., :size, :size].astype(np.float32))
        for _ in track(range(fields), "random fields", "fields", progress)
    ]
    energies = Energies(*(np.concatenate(part) for part in zip(*sampled, strict=True)))
    _check_energies(layer, energies)
    names, choices = _designs(layer, ways, energies)
    table = _table(layer, ways, energies, names, choices, size)
    shown = spectrum if isinstance(spectrum, str) else "given"
    table = table.assign_attrs(
        layer=layer.name,
        stride=layer.stride,
        output=layer.order,
        spectrum=shown,
        shifts=str(maps.shifts),
        fields=fields,
        seed=seed,
        isolated=float(isolated),
    )
    if target is not None:
        answer = cheapest(table, target)
        table = table.assign_attrs(target=float(target), answer=answer, sentence=sentence(table, answer))
    return table


def cheapest(table: xr.Dataset, target: float) -> int:
    """Position of the design with the fewest multiplications whose predicted eta is at most `target`.

    It is 0, the layer as it is, where nothing needs to be changed.

    Raises
    ------
    ValueError
        If there is none; the message names the best.
    """
    enough = np.flatnonzero(table.eta.values <= target)
    if not len(enough):
        best = int(np.argmin(table.eta.values))
        raise ValueError(f"no change reaches an eta of {target:g}; the best is {sentence(table, best)}")
    if enough[0] == 0:  # others may cost as little, such as a wider maximum
        return 0
    costs = table.multiplications.values[enough]
    return int(enough[np.lexsort((table.eta.values[enough], costs))[0]])


def sentence(table: xr.Dataset, design: int) -> str:
    """Words for a design: what it is, what it does to the layer, and what it costs."""
    eta, extra = table.eta.values, 100 * (table.multiplications.values[design] - 1)
    return (
        f"{table.name.values[design]}: eta of the layer {eta[0]:.3f} -> {eta[design]:.3f} for "
        f"{abs(extra):.1f} % {'more' if extra >= 0 else 'fewer'} multiplications"
    )


def spread_front(table: xr.Dataset, count: int) -> list[int]:
    """Positions of so many designs of the front, evenly spaced along eta, from the layer as it is to the most stable.

    Parameters
    ----------
    table : xarray.Dataset
        Of `prescribe`.
    count : int
        Fewer are returned where the front has fewer.
    """
    front = np.flatnonzero(table.front.values)
    front = front[np.argsort(-table.eta.values[front])]
    eta = table.eta.values[front]
    left = list(range(len(front)))
    chosen = []
    for wanted in np.linspace(eta[0], eta[-1], min(count, len(front))):
        chosen.append(left.pop(int(np.argmin(np.abs(eta[left] - wanted)))))
    return [int(front[i]) for i in sorted(chosen)]


@dataclass(frozen=True, eq=False)
class DesignMeasurement:
    """Measurement of designs on pictures.

    Parameters
    ----------
    maps : WayMaps
    choices : ndarray, shape (designs, L), int
        Way of each kernel.
    """

    maps: WayMaps
    choices: NDArray[np.int_]

    @property
    def size(self) -> int:
        """Side of the pictures, pixels."""
        return self.maps.size

    @property
    def colour(self) -> bool:
        """True if red, green and blue are measured instead of the luminance."""
        return len(self.maps.layer.mean) == 3

    @property
    def length(self) -> int:
        """Entries of the vector: seven sums a design, and the number of pictures."""
        return 7 * len(self.choices) + 1

    def measure(self, pictures: NDArray[Any], names: Sequence[str] = ()) -> tuple[NDArray[np.float64], None]:
        """Return the sums of pictures (n, size, size), in colour (n, 3, size, size), pixels in [0, 1]."""
        layer = self.maps.layer
        mean, std = (np.array(values, pictures.dtype)[:, None, None] for values in (layer.mean, layer.std))
        channels = pictures.reshape(len(pictures), len(mean), *pictures.shape[-2:])
        parts = [_of_designs(part, self.choices) for part in self.maps((channels - mean) / std)]
        change, energy = parts[:2]
        sums = [part.sum(axis=0) for part in (*parts, change**2, change * energy, energy**2)]
        return np.append(np.concatenate(sums), len(pictures)), None

    def dataset(self, sums: NDArray[np.float64]) -> xr.Dataset:
        """Return `eta`, `eta_stderr` and `rho` along `design`."""
        *sums_, count = sums
        change, energy, distance, reference, change_squares, products, energy_squares = np.reshape(sums_, (7, -1))
        eta, stderr = rms_statistics(count, change, energy, change_squares, energy_squares, products)
        found = {"eta": eta, "eta_stderr": stderr, "rho": np.sqrt(distance / reference)}
        return xr.Dataset({name: ("design", values) for name, values in found.items()})


def measure_designs(
    layer: FirstLayer,
    table: xr.Dataset,
    designs: Sequence[int],
    images: str | os.PathLike[str] | Iterable[Any],
    shifts: Sequence[Sequence[float]] = SHIFTS,
    size: int = 224,
    progress: bool = True,
    on_skip: Callable[[str, str], object] | None = None,
    **feeding: Any,
) -> xr.Dataset:
    """Measure designs on photographs, to stand beside what was predicted.

    Parameters
    ----------
    layer : FirstLayer
    table : xarray.Dataset
        Of `prescribe` for it.
    designs : sequence of int
        Positions along `design`.
    images, shifts, size, progress, on_skip, **feeding
        As for :func:`analysis.measure_kernels`.

    Returns
    -------
    xarray.Dataset
        `eta`, `eta_stderr`, over pictures, and `rho` along `design`, whose coordinate has the positions.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or no picture could be used.
    """
    ways, choices = ways_of(layer), table.way.values[list(designs)]
    needed = np.union1d(choices, ways.index(Way(True, layer.stride, 0, 1)))
    maps = WayMaps(layer, tuple(ways[index] for index in needed), size, tuple(check_shifts(shifts)))
    measurement = DesignMeasurement(maps, np.searchsorted(needed, choices))
    (found,) = run(images, [measurement], progress, on_skip, desc="designs", **feeding)
    return found.assign_coords(design=list(designs))


def _check_layer(layer: FirstLayer, activation: str, target: float | None) -> None:
    """Refuse what the prediction is not for."""
    if not isinstance(layer, FirstLayer):
        raise TypeError(f"layer is a {type(layer).__name__}; expected a FirstLayer, as first_layer returns")
    if layer.q == 0:
        raise ValueError(f"the layer {layer.name!r} has no max pooling (pool is {layer.pool}): nothing to change")
    if activation != "relu":
        raise ValueError(
            f"activation is {activation!r}; expected 'relu': one that is not monotone does not commute with max "
            "pooling, and others are not modelled"
        )
    if target is not None and not (np.ndim(target) == 0 and np.isreal(target) and 0 < target < np.inf):
        raise ValueError(f"target is {target!r}; expected a positive number, the eta to be reached")


def _root_of_spectrum(layer: FirstLayer, spectrum: str | ArrayLike, size: int) -> tuple[NDArray[np.complex128], int]:
    """Square root (C, C, P, P) of the matrix of spectra, frequency by frequency, and P."""
    channels = layer.weight.shape[1]
    if isinstance(spectrum, str):
        if spectrum not in MODELS:
            raise ValueError(f"spectrum is {spectrum!r}; expected {', '.join(map(repr, MODELS))}, or an array")
        spectrum = CONTRAST**2 * MODELS[spectrum](size | 1)
    if np.ndim(spectrum) == 4:
        power = check_spectra(spectrum)
        if len(power) != channels:
            raise ValueError(f"the spectra are of {len(power)} channels and the kernels of {channels}")
        values, vectors = np.linalg.eigh(np.moveaxis(power, (0, 1), (-2, -1)))
        root = (vectors * np.sqrt(np.maximum(values, 0))[..., None, :]) @ vectors.conj().swapaxes(-2, -1)
        return np.moveaxis(root, (-2, -1), (0, 1)), power.shape[-1]
    # Grey pictures: one field in all channels.
    plane = np.sqrt(check_spectrum(spectrum)).astype(complex)
    root = np.zeros((channels, channels, *plane.shape), complex)
    root[:, 0] = plane
    return root, len(plane)


def _field(
    root: NDArray[np.complex128], layer: FirstLayer, isolated: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """One random field (1, C, P, P) as the layer sees it, with mean 0."""
    shape = root.shape[1:]
    density = min(1.0, POINTS / np.prod(layer.weight.shape[-2:]))  # for each pixel
    points = rng.standard_normal(shape) * (rng.random(shape[1:]) < density) / np.sqrt(density)
    noise = np.fft.fft2(np.sqrt(1 - isolated) * rng.standard_normal(shape) + np.sqrt(isolated) * points)
    field = np.fft.ifft2(np.einsum("klyx,lyx->kyx", root, noise)).real
    return np.asarray(field / np.array(layer.std)[:, None, None])[None]


def _check_energies(layer: FirstLayer, energies: Energies) -> None:
    """Raise for outputs without energy or too large for it, in any of the ways."""
    energy, reference = (part.sum(axis=(0, 2)) for part in (energies.energy, energies.reference))
    if not (np.isfinite(energy).all() and np.isfinite(reference).all()):
        raise ValueError(f"kernels or bias of {layer.name!r} are so large that squares of the outputs overflow")
    if not (energy.all() and reference.all()):
        raise ValueError(f"{layer.name!r} gives nothing but zeros on random fields: by its bias, or by small kernels")


def _of_designs(part: NDArray[np.float64], choices: NDArray[np.int_]) -> NDArray[np.float64]:
    """Sums over kernels (n, designs) of energies (n, ways, L)."""
    return np.stack([part[:, way, np.arange(len(way))].sum(axis=1) for way in choices], axis=1)


def _designs(layer: FirstLayer, ways: tuple[Way, ...], energies: Energies) -> tuple[list[str], NDArray[np.int_]]:
    """Names of the designs, and the way of each kernel, shape (designs, L).

    All kernels in one way of the maximum; and from each of those, more and more kernels with CMod, as it is and with
    the filter of the others.
    """
    turnable = kernel_kinds(layer.weight) == "band-pass"
    names, choices = [], []
    for index, way in enumerate(ways):
        if way.modulus:
            continue
        names.append(way.named(layer))
        choices.append(np.full(len(layer.weight), index))
        rest = "" if index == 0 else f", {way.named(layer)} for the others"
        like = {Way(True, layer.stride, 0, 1), Way(True, way.stride, 0, way.taps)}
        for modulus in (other for other in ways if other in like):
            choice, other = np.full(len(layer.weight), index), ways.index(modulus)
            for count, kernel in enumerate(_greedy(energies, index, other, turnable), start=1):
                choice = choice.copy()
                choice[kernel] = other
                names.append(f"{modulus.named(layer)} for {count} of {len(choice)} kernels{rest}")
                choices.append(choice)
    return names, np.array(choices)


def _greedy(energies: Energies, base: int, other: int, turnable: NDArray[np.bool_]) -> list[int]:
    """Kernels in the order in which they are turned: each time the one that leaves the layer the least change.

    All cost the same, so this is also the largest gain for its cost.
    """
    change, energy = energies.change.sum(axis=0), energies.energy.sum(axis=0)
    total, norm = change[base].sum(), energy[base].sum()
    step_change, step_energy = change[other] - change[base], energy[other] - energy[base]
    left, order = list(np.flatnonzero(turnable)), []
    while left:
        after = (total + step_change[left]) / (norm + step_energy[left])
        kernel = left.pop(int(np.argmin(after)))
        order.append(int(kernel))
        total, norm = total + step_change[kernel], norm + step_energy[kernel]
    return order


def _table(
    layer: FirstLayer,
    ways: tuple[Way, ...],
    energies: Energies,
    names: list[str],
    choices: NDArray[np.int_],
    size: int,
) -> xr.Dataset:
    """Dataset of all designs, from the energies of the sample."""
    maps_of_designs = [_of_designs(part, choices) for part in energies]
    change, energy = maps_of_designs[:2]
    count = len(change)
    total = [part.sum(axis=0) for part in maps_of_designs]
    squares = [part.sum(axis=0) for part in (change**2, energy**2, change * energy)]
    eta, stderr = rms_statistics(count, *total[:2], *squares)
    costs = np.array([[multiplications(way, layer, size), memory(way, layer)] for way in ways])
    cost, held = np.moveaxis(costs[choices].sum(axis=1), -1, 0)
    kernels = Energies(*(part.sum(axis=0) for part in energies))
    theta = characteristic_frequencies(layer).T
    with np.errstate(invalid="ignore", divide="ignore"):
        kernel_eta = np.sqrt(kernels.change / kernels.energy)
        kernel_rho = np.sqrt(kernels.distance / kernels.reference)
    return xr.Dataset(
        {
            "name": ("design", names),
            "eta": labelled(("design",), eta, "relative change of the layer's output, predicted"),
            "eta_stderr": labelled(("design",), stderr, "standard error of the sampling"),
            "rho": labelled(("design",), np.sqrt(total[2] / total[3]), "relative distance from the output of CMod"),
            "multiplications": labelled(("design",), cost / cost[0], "over those of the layer as it is"),
            "memory": labelled(("design",), held / held[0], "numbers held, over those of the layer as it is"),
            "front": ("design", _front(eta, cost)),
            "way": (("design", "kernel"), choices),
            "kernel_eta": labelled(("ways", "kernel"), kernel_eta, "relative change of each output map, predicted"),
            "kernel_rho": labelled(("ways", "kernel"), kernel_rho, "relative distance from the map of CMod"),
            "kernel_change": labelled(
                ("ways", "kernel"), kernels.change / total[1][0], "squared change over the energy of the layer as it is"
            ),
        },
        {
            "ways": [way.named(layer) for way in ways],
            "kernel": np.arange(len(layer.weight)),
            "theta_y": ("kernel", theta[0], {"long_name": "characteristic frequency, vertical", "units": "rad/sample"}),
            "theta_x": (
                "kernel",
                theta[1],
                {"long_name": "characteristic frequency, horizontal", "units": "rad/sample"},
            ),
        },
    )


def _front(eta: NDArray[np.float64], cost: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Designs than which none is as stable for as little."""
    order = np.lexsort((eta, cost))
    best = np.minimum.accumulate(eta[order])
    front = np.zeros(len(eta), bool)
    front[order] = np.concatenate([[True], eta[order][1:] < best[:-1]])
    return front
