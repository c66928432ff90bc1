"""Prescriptions: maps against loops, the closed form of the modulus, costs, the front, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import fft
from scipy.ndimage import maximum_filter
from scipy.signal import correlate2d
from scipy.special import hyp2f1

from analysis import FirstLayer, describe_kernels, power_law_spectrum, prescribe
from analysis.kernels import gabor, measure_designs
from analysis.kernels.designs import IDEAL, Way, WayMaps, memory, multiplications, reduction, ways_of
from analysis.kernels.prescription import _field, _root_of_spectrum, cheapest, sentence, spread_front
from analysis.measurements.spectra import gaussian_fields
from analysis.prediction import response_covariance
from wavelets.complex_filters import complex_filters
from wavelets.kernel_kinds import kernel_kinds

SIZE = 96
SHIFTS = ((0.0, 1.0), (1.0, 0.0))


def gratings():
    """Four band-pass kernels and one low-pass kernel, 7x7, grey, of different strengths."""
    waves = [[1, 0.3, 0.2, 1.6, 3, 3, 1.7, 1.7, 0], [0.5, 0, 1.2, 1.2, 3, 3, 1.7, 1.7, 0]]
    waves += [[2, -0.3, 2.2, 0.5, 3, 3, 1.7, 1.7, 0], [1, 1, -0.5, 2.0, 3, 3, 1.7, 1.7, 0]]
    planes = [gabor(np.array(wave, float), (7, 7)) for wave in waves]
    planes.append(np.outer(np.hanning(9)[1:-1], np.hanning(9)[1:-1]))
    return np.stack(planes)[:, None] / 10


def grey(stride=2, **options):
    return FirstLayer("grey", gratings(), stride, mean=(0.5,), std=(0.25,), **options)


@pytest.fixture(scope="module")
def layer():
    return grey(bias=np.array([0.1, -0.05, 0, 0.2, -0.1]))


@pytest.fixture(scope="module")
def table(layer):
    return prescribe(layer, size=SIZE, fields=3, progress=False)


def slow_map(layer, kernel, way, picture, border):
    """Final map of one kernel in a way, from correlations, windows and sums over taps."""
    w = layer.gain[kernel] * complex_filters(layer.weight, 2)[kernel, 0]
    z = correlate2d(picture, w.real, "valid") + 1j * correlate2d(picture, w.imag, "valid")
    z = z[:: way.stride, :: way.stride]
    pool = np.abs(z) if way.modulus else maximum_filter(z.real, 2 * way.q + 1)[way.q :, way.q :]
    if way.q:
        pool = pool[: -way.q, : -way.q]
    pool = np.maximum(pool + layer.offset[kernel], 0)
    factor = layer.stride // way.stride
    if way.taps == IDEAL:
        waves = fft.dctn(pool, norm="ortho")
        kept = np.arange(len(pool)) < len(pool) / (2 * factor)
        pool = fft.idctn(waves * np.outer(kept, kept), norm="ortho")
    count = (SIZE - 14) // layer.stride + 1
    at = [factor * c - way.q for c in range(border, count - border, 2)]
    if way.taps in (1, IDEAL):
        return pool[np.ix_(at, at)]
    taps = np.poly1d([0.5, 0.5]) ** (way.taps - 1)
    reach = (way.taps - 1) // 2
    blur = np.outer(taps.coeffs, taps.coeffs)
    rows = [[pool[y - reach : y - reach + way.taps, x - reach : x - reach + way.taps] for x in at] for y in at]
    return np.array([[(part * blur).sum() for part in row] for row in rows])


@pytest.mark.parametrize("scale", [None, np.array([1, -1, 2, -0.5, 1.0])])
def test_maps_equal_slow_ones_in_every_way(scale):
    layer = grey(bias=np.array([0.1, -0.05, 0, 0.2, -0.1]), scale=scale)
    ways = tuple(ways_of(layer))
    picture = np.random.default_rng(3).standard_normal((SIZE, SIZE)).astype(np.float32)
    found = WayMaps(layer, ways, SIZE, ((0.0, 0.0),)).maps(picture[None, None])
    for way, maps in zip(ways, found, strict=True):
        for kernel in (0, 1, 4):
            expected = slow_map(layer, kernel, way, picture, layer.q + 4)
            np.testing.assert_allclose(maps[kernel], expected, atol=2e-5 * np.abs(found).max(), err_msg=str(way))


@pytest.mark.parametrize("taps", [1, 2, 3, 4, 5, 6, 7, IDEAL])
def test_filters_keep_constants_and_the_ideal_one_removes_the_upper_band(taps):
    matrix = reduction(Way(False, 2, 1, taps), 40, np.arange(8, 30, 2), 2)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-12)
    if taps == IDEAL:
        waves = np.cos(np.pi * np.multiply.outer(np.arange(40) + 0.5, np.arange(40)) / 40)
        np.testing.assert_allclose(matrix @ waves[:, 20:], 0, atol=1e-12)
        np.testing.assert_allclose(matrix @ waves[:, :20], waves[8:30:2, :20], atol=1e-12)


@pytest.mark.parametrize("taps", [1, 3, 6])
def test_modulus_on_a_gaussian_field_has_its_closed_form(taps):
    # theory.md 3.7: means of products of moduli of circular variables by a hypergeometric function.
    layer = grey()
    spectrum = power_law_spectrum(127)
    table = prescribe(layer, spectrum, size=127, fields=60, shifts=SHIFTS[:1], isolated=0, progress=False)
    row = {name: i for i, name in enumerate(table.ways.values)}[f"CMod + blur{taps}" if taps > 1 else "CMod"]
    reach = np.arange(taps)
    window = 2.0 * np.stack(np.meshgrid(reach, reach, indexing="ij"), -1).reshape(-1, 2)
    points = np.concatenate([window, window - np.array([0.0, 1.0])])
    one = np.array((np.poly1d([0.5, 0.5]) ** (taps - 1)).coeffs)
    weights = np.outer(one, one).ravel()
    w = complex_filters(layer.weight, 2)[:2, 0]
    covariance, _ = response_covariance(w, spectrum, points)
    for kernel in range(2):
        power = covariance[kernel, 0, 0].real
        means = np.pi / 4 * power * hyp2f1(-0.5, -0.5, 1, np.minimum(np.abs(covariance[kernel] / power) ** 2, 1))
        n = len(window)
        energy = weights @ means[:n, :n] @ weights
        expected = np.sqrt(2 - 2 * (weights @ means[:n, n:] @ weights) / energy)
        assert table.kernel_eta.values[row, kernel] == pytest.approx(expected, rel=0.02)


def test_prediction_is_the_measurement_of_gaussian_pictures(layer):
    spectrum = 0.02 * power_law_spectrum(SIZE)
    table = prescribe(layer, spectrum, size=SIZE, fields=24, isolated=0, progress=False)
    pictures = list(0.5 + gaussian_fields(spectrum, 24, np.random.default_rng(9)))
    designs = spread_front(table, 5)
    measured = measure_designs(layer, table, designs, pictures, size=SIZE, progress=False)
    predicted = table.isel(design=designs)
    error = np.hypot(predicted.eta_stderr.values, measured.eta_stderr.values)
    assert (np.abs(predicted.eta.values - measured.eta.values) < 4 * error).all()
    np.testing.assert_allclose(measured.rho, predicted.rho, rtol=0.1)
    assert measured.images_used == 24


def test_colour_spectra_of_grey_pictures_equal_a_plane():
    weight = np.repeat(gratings(), 3, axis=1)
    layer = FirstLayer("colour", weight, 2, mean=(0.5,) * 3, std=(0.2, 0.3, 0.4))
    plane = power_law_spectrum(SIZE | 1)
    one = prescribe(layer, plane, size=SIZE, fields=30, isolated=0, progress=False)
    two = prescribe(
        layer, np.broadcast_to(plane, (3, 3, *plane.shape)), size=SIZE, fields=30, seed=1, isolated=0, progress=False
    )
    np.testing.assert_allclose(one.eta[:4], two.eta[:4], rtol=0.05)


def test_design_zero_is_the_layer_and_costs_are_relative_to_it(layer, table):
    assert table.name[0] == "as it is" and (table.way[0] == 0).all()
    assert table.multiplications[0] == 1 and table.memory[0] == 1
    assert multiplications(Way(False, 2, 1, 1), layer, SIZE) == 4 * 49
    assert multiplications(Way(True, 2, 0, 1), layer, SIZE) == 2 * 14**2 + 2
    assert multiplications(Way(False, 2, 1, 5), layer, SIZE) == 4 * 49 + 5 * 3
    assert multiplications(Way(False, 1, 1, 1), layer, SIZE) == 16 * 49
    assert (memory(Way(False, 2, 1, 1), layer), memory(Way(True, 2, 0, 1), layer)) == (4, 2)


def test_front_has_all_that_nothing_beats(table):
    eta, cost = table.eta.values, table.multiplications.values
    beaten = [((eta <= e) & (cost <= c) & ((eta < e) | (cost < c))).any() for e, c in zip(eta, cost, strict=True)]
    front = table.front.values
    assert not (front & beaten).any()
    # What is left out is beaten, or the same as one that is on it.
    assert all(b or (eta[front] == e).any() for b, e, f in zip(beaten, eta, front, strict=True) if not f)
    points = spread_front(table, 6)
    assert front[points].all() and (np.diff(eta[points]) < 0).all()


def test_greedy_begins_with_the_best_kernel_and_turns_band_pass_ones_only(layer, table):
    names = table.name.values.tolist()
    first, last = names.index("CMod for 1 of 5 kernels"), names.index("CMod for 4 of 5 kernels")
    other = table.way.values[last].max()
    kinds = kernel_kinds(layer.weight)
    singles = [i for i, w in enumerate(table.way.values) if (w != 0).sum() == 1 and w.max() == other]
    assert singles == [first] and table.eta[first] < table.eta[0]
    assert ((table.way.values[last] == other) == (kinds == "band-pass")).all() and kinds[4] == "low-pass"


def test_kernels_have_their_frequencies_and_their_parts_of_the_change(layer, table):
    described = describe_kernels(layer, progress=False)
    for name in ("theta_y", "theta_x"):
        np.testing.assert_array_equal(table[name], described[name])
    change = table.kernel_change.values
    assert change[0].sum() == pytest.approx(float(table.eta[0]) ** 2)
    # The rest of the ratio: energies of the maps, from the change of each over its own.
    energy = change / table.kernel_eta.values**2
    for design, way in enumerate(table.way.values):
        parts = [values[way, np.arange(5)].sum() for values in (change, energy)]
        assert np.sqrt(parts[0] / parts[1]) == pytest.approx(float(table.eta[design]))


def test_rho_of_cmod_in_all_kernels_is_zero():
    layer = FirstLayer("waves", gratings()[:4], 2, mean=(0.5,), std=(0.25,))
    table = prescribe(layer, size=SIZE, fields=2, progress=False)
    design = table.name.values.tolist().index("CMod for 4 of 4 kernels")
    assert table.rho[design] == 0 and table.rho[0] > 0.1


def test_answer_is_the_cheapest_that_is_enough(layer, table):
    target = float(np.quantile(table.eta, 0.3))
    answered = prescribe(layer, target=target, size=SIZE, fields=3, progress=False)
    enough = table.multiplications.values[table.eta.values <= target]
    assert answered.multiplications[answered.answer] == enough.min()
    assert answered.eta[answered.answer] <= target and answered.sentence == sentence(table, answered.answer)
    np.testing.assert_array_equal(answered.eta, table.eta)  # the same seed
    assert cheapest(table, 2 * float(table.eta[0])) == 0  # enough as it is
    with pytest.raises(ValueError, match=f"{float(table.eta.min()):.3f}"):
        cheapest(table, 1e-6)


def test_layer_of_stride_one_has_one_grid():
    table = prescribe(grey(1), "flat", size=64, fields=2, progress=False)
    assert not any("stride" in name for name in table.ways.values)


def test_a_scale_for_all_kernels_changes_nothing_without_bias():
    one = prescribe(grey(), size=SIZE, fields=2, progress=False)
    two = prescribe(grey(scale=np.full(5, 100.0)), size=SIZE, fields=2, progress=False)
    np.testing.assert_allclose(two.eta, one.eta, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"target": 1e-9}, ValueError, "best"),
        ({"target": -1}, ValueError, "target"),
        ({"target": float("nan")}, ValueError, "target"),
        ({"activation": "gelu"}, ValueError, "gelu"),
        ({"spectrum": "pink"}, ValueError, "pink"),
        ({"spectrum": np.ones((3, 3, 127, 127))}, ValueError, "channels"),
        ({"size": 30}, ValueError, "30"),
        ({"fields": 1}, ValueError, "fields"),
        ({"isolated": 1.5}, ValueError, "isolated"),
        ({"fields": 2.5}, TypeError, "fields"),
    ],
)
def test_bad_input_is_refused(layer, options, error, words):
    with pytest.raises(error, match=words):
        prescribe(layer, **{"size": SIZE, "fields": 2, "progress": False} | options)


def test_a_layer_without_pooling_and_a_plain_array_are_refused():
    with pytest.raises(ValueError, match="no max pooling"):
        prescribe(grey(pool=1), size=SIZE, progress=False)
    with pytest.raises(TypeError, match="FirstLayer"):
        prescribe(gratings(), size=SIZE, progress=False)


def test_isolated_points_keep_the_spectrum():
    layer = grey()
    root, points = _root_of_spectrum(layer, power_law_spectrum(63), 63)
    rng = np.random.default_rng(0)
    for isolated in (0.0, 0.6):
        fields = np.stack([_field(root, layer, isolated, rng)[0, 0] for _ in range(400)]) * layer.std[0]
        found = (np.abs(np.fft.fft2(fields)) ** 2).mean(axis=0) / points**2
        np.testing.assert_allclose(found[1:9, 1:9].mean(), power_law_spectrum(63)[1:9, 1:9].mean(), rtol=0.1)
        assert np.mean(fields**4) / np.mean(fields**2) ** 2 == pytest.approx(3, abs=0.4) or isolated


@pytest.mark.parametrize(
    ("scale", "bias", "words"),
    [(1e300, 0, "spectrum"), (1e38, 0, "spectrum"), (1, -1e3, "zeros"), (1e-300, 0, "zeros")],
)
def test_outputs_that_vanish_or_overflow_are_refused(scale, bias, words):
    layer = FirstLayer("a", scale * gratings(), 2, bias=np.full(5, float(bias)), mean=(0.5,), std=(0.25,))
    with pytest.raises(ValueError, match=words):
        prescribe(layer, size=64, fields=2, progress=False)
