"""The transforms against dense matrices, PyWavelets, plain correlation, and the identities of theory.md 4."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest
import pywt
from scipy.signal import correlate2d

import wavelets
from wavelets import DualTreePackets1D, DualTreePackets2D, FilterBank
from wavelets.engine import reference, rule, stages

BOUNDARIES = stages.BOUNDARIES


def relative(a, b):
    return np.abs(np.asarray(a) - b).max() / max(np.abs(b).max(), 1e-300)


# ---- the packet rule ------------------------------------------------------------------------------------------------


@pytest.mark.nojit
def test_frequency_index_is_the_inverse_gray_code():
    assert rule.frequency_index(2).tolist() == [0, 1, 3, 2]
    assert rule.frequency_index(3).tolist() == [0, 1, 3, 2, 7, 6, 4, 5]


@pytest.mark.nojit
@pytest.mark.parametrize("levels", [1, 2, 3, 4, 5, 6])
def test_packets_cover_the_line_and_the_plane_once(levels):
    t = DualTreePackets2D(levels)
    assert sorted(rule.frequency_index(levels)) == list(range(2**levels))
    cells = np.floor(np.concatenate([t.frequencies, -t.frequencies]) / (np.pi / 2**levels)).astype(int)
    assert len({tuple(cell) for cell in cells}) == 4 ** (levels + 1)
    assert (t.frequencies[:, 1] > 0).all()
    p = t.packets
    assert p.size == 2 * 4**levels
    assert (p.branch[: 4**levels] == "a").all() and (p.branch[4**levels :] == "b").all()
    assert np.array_equal(p.edge, np.isin(p.freq_y, [0, 2**levels - 1]) | np.isin(p.freq_x, [0, 2**levels - 1]))


@pytest.mark.nojit
@pytest.mark.parametrize("levels", [1, 2, 3, 4])
@pytest.mark.parametrize("filters", ["cf_2_3", "cf_3_3", "cf_1_2", "cf_3_3+db4"])
def test_every_filter_has_its_energy_where_its_frequency_says(levels, filters):
    t = DualTreePackets1D(levels, filters)
    kernels = t.kernels()
    assert kernels.shape == (2**levels, t.kernel_size)
    interior = (t.frequencies > np.pi / 2**levels) & (t.frequencies < np.pi - np.pi / 2**levels)
    leakage = wavelets.quality.band_energy(kernels, -np.pi, 0.0)
    assert (leakage[interior] < 4e-3).all()  # a wrong rule gives 0.2 to 0.5
    assert (leakage < 0.4).all()
    centroid = wavelets.DualTreePackets2D(levels, filters).centroids
    nominal = wavelets.DualTreePackets2D(levels, filters).frequencies
    assert np.abs(centroid - nominal).max() < 0.75 * np.pi / 2**levels


@pytest.mark.nojit
def test_centroids_are_the_circular_means_of_the_spectra():
    t = DualTreePackets2D(2)
    power = np.abs(np.fft.fft2(t.kernels(), (64, 64))) ** 2
    wave = np.exp(2j * np.pi * np.fft.fftfreq(64))
    theta_y = np.angle((power.sum(axis=2) * wave).sum(axis=1))
    theta_x = np.angle((power.sum(axis=1) * wave).sum(axis=1))
    np.testing.assert_allclose(t.centroids, np.stack([theta_y, theta_x], axis=-1), atol=1e-12)


@pytest.mark.nojit
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_kernels_have_norm_two_and_the_published_length(levels):
    t = DualTreePackets2D(levels, "cf_2_3")
    kernels = t.kernels()
    assert kernels.shape == (2 * 4**levels,) + (12 + 9 * (2**levels - 2),) * 2
    np.testing.assert_allclose((np.abs(kernels) ** 2).sum(axis=(1, 2)), 4, atol=1e-12)
    np.testing.assert_array_equal(t.kernels([3, 1]), kernels[[3, 1]])


# ---- forward --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("levels", "fine"), [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (4, 0)])
def test_equals_the_dense_matrices(levels, fine, boundary):
    rng = np.random.default_rng(3)
    stride = 2 ** (levels - fine)
    one = DualTreePackets1D(levels, stride=stride, boundary=boundary)
    two = DualTreePackets2D(levels, stride=stride, boundary=boundary)
    for n in (1, 2, 13, 32):
        x = rng.standard_normal((2, n))
        assert relative(one.forward(x), reference.forward_1d(one, x)) < 1e-12
    for size in ((1, 5), (16, 9), (21, 32)):
        x = rng.standard_normal(size)
        assert relative(two.forward(x), reference.forward_2d(two, x)) < 1e-12


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_bank_whose_filters_differ_in_length_equals_the_dense_matrices(boundary):
    shorter = np.pad(pywt.Wavelet("db2").dec_lo[::-1], (1, 3))
    bank = FilterBank("mixed", shorter, pywt.Wavelet("db4").dec_lo[::-1], pywt.Wavelet("db3").dec_lo[::-1])
    x = np.random.default_rng(8).standard_normal((2, 17, 24))
    for stride in (4, 2):
        t = DualTreePackets2D(2, bank, stride, boundary)
        c = t.forward(x)
        assert relative(c, reference.forward_2d(t, x)) < 1e-12
        assert relative(t.inverse(c), x) < 1e-10  # as exact as PyWavelets' tables


def test_small_images_equal_the_dense_matrices():
    t = DualTreePackets2D(2)
    x = np.random.default_rng(4).standard_normal((6, 7))
    assert relative(t.forward(x), reference.forward_2d(t, x)) < 1e-12
    assert relative(t.inverse(t.forward(x)), x) < 1e-12


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_equals_pywavelets_packet_trees_combined_by_hand(levels, boundary):
    # PyWavelets splits every node with the filters that the rule names, padded first stage and all.
    t = DualTreePackets2D(levels, "cf_2_4+db6", boundary=boundary)
    bank = t.bank
    x = np.random.default_rng(5).standard_normal((37, 50))

    def wavelet(low, high):
        return pywt.Wavelet("", filter_bank=[low[::-1], high[::-1], low, high])

    first = {tree: wavelet(*bank.first_stage(tree)) for tree in rule.TREES}
    main = {pair: wavelet(*bank.main_stage(pair)) for pair in rule.TREES}
    node_y, node_x = rule.quad_tree_order(levels)
    d = {}
    for tree_y in rule.TREES:
        for tree_x in rule.TREES:
            pairs_y, pairs_x = (rule.splitting_pairs(tree, levels) for tree in (tree_y, tree_x))
            nodes = {(0, 0): x}
            for stage in range(levels):
                of = first if stage == 0 else main
                nodes = {
                    (2 * i + a, 2 * j + b): part
                    for (i, j), data in nodes.items()
                    for (a, b), part in _split(data, of[pairs_y[stage][i]], of[pairs_x[stage][j]], boundary)
                }
            d[tree_y, tree_x] = np.stack([nodes[i, j] for i, j in zip(node_y, node_x, strict=True)])
    y_a = (d[1, 1] - d[2, 2]) + 1j * (d[2, 1] + d[1, 2])
    y_b = (d[1, 1] + d[2, 2]) + 1j * (d[2, 1] - d[1, 2])
    expected = np.concatenate([y_a, y_b])
    expected = np.where(t.packets.conjugated[:, None, None], expected.conj(), expected)
    assert relative(t.forward(x), expected) < 1e-12


def _split(data, wavelet_y, wavelet_x, boundary):
    details = pywt.dwt2(data, (wavelet_y, wavelet_x), (boundary, boundary))
    ll, (hl, lh, hh) = details  # PyWavelets: (horizontal, vertical, diagonal) details
    return [((0, 0), ll), ((1, 0), hl), ((0, 1), lh), ((1, 1), hh)]


@pytest.mark.parametrize("boundary", ["periodization", "zero"])
@pytest.mark.parametrize(("levels", "stride"), [(1, 2), (2, 4), (2, 2), (3, 8), (3, 4)])
def test_interior_coefficients_are_plain_correlations_with_the_kernels(levels, stride, boundary):
    t = DualTreePackets2D(levels, "cf_1_1", stride=stride, boundary=boundary)
    x = np.random.default_rng(6).standard_normal((80, 96))
    c = np.asarray(t.forward(x))
    channels = [0, 1, 4**levels - 1, 2 * 4**levels - 2]
    for channel, kernel in zip(channels, t.kernels(channels), strict=True):
        full = correlate2d(x, kernel.conj(), mode="valid")  # scipy conjugates its second argument
        first = -(t.start // stride)  # first coefficient whose kernel lies inside
        offset = t.start + stride * first
        valid = full[offset::stride, offset::stride]
        ours = c[channel, first : first + valid.shape[0], first : first + valid.shape[1]]
        assert relative(ours, valid) < 1e-12


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_every_second_coefficient_of_the_fine_stride_is_the_coarse_one(levels):
    x = np.random.default_rng(7).standard_normal((3, 48, 33))
    coarse = DualTreePackets2D(levels)
    fine = DualTreePackets2D(levels, stride=2 ** (levels - 1))
    c, f = np.asarray(coarse.forward(x)), np.asarray(fine.forward(x))
    assert relative(f[..., ::2, ::2], c) < 1e-12


def test_shift_by_one_stride_moves_the_coefficients_by_one():
    t = DualTreePackets2D(3)
    x = np.random.default_rng(8).standard_normal((64, 64))
    moved = t.forward(np.roll(x, (8, -16), axis=(0, 1)))
    np.testing.assert_allclose(moved, np.roll(t.forward(x), (1, -2), axis=(-2, -1)), atol=1e-12)


# ---- inverse and adjoint --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("levels", [1, 2, 3, 4])
@pytest.mark.parametrize("fine", [0, 1])
def test_perfect_reconstruction_and_adjoint_for_sizes_1_to_70(levels, fine, boundary):
    rng = np.random.default_rng(9)
    one = DualTreePackets1D(levels, stride=2 ** (levels - fine), boundary=boundary)
    two = DualTreePackets2D(levels, stride=2 ** (levels - fine), boundary=boundary)
    for n in range(1, 71):
        _check_round_trip(one, rng.standard_normal((2, n)), rng)
        if levels < 3 or n % 3 == 1:  # deep ones at every remainder of 16, and with every pair of parities
            _check_round_trip(two, rng.standard_normal((n, (37 * n) % 71)), rng)
    for size in ((1, 1), (1, 70), (70, 1)):
        _check_round_trip(two, rng.standard_normal(size), rng)


def test_round_trip_of_larger_random_sizes():
    rng = np.random.default_rng(10)
    for levels in (2, 3, 6):
        for height, width in rng.integers(100, 400, (2, 2)):
            _check_round_trip(DualTreePackets2D(levels), rng.standard_normal((height, width)), rng)


def _check_round_trip(t, x, rng):
    c = t.forward(x)
    back = t.inverse(c)
    assert back.shape == x.shape
    assert np.abs(back - x).max() < 1e-12 * max(1, np.abs(x).max())
    y = rng.standard_normal(c.shape) + 1j * rng.standard_normal(c.shape)
    left = np.vdot(y, c).real
    right = np.vdot(t.adjoint(y, size=x.shape[-t.axes :]), x)
    assert abs(left - right) < 1e-12 * np.linalg.norm(y) * np.linalg.norm(c)


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_tight_frame(levels):
    x = np.random.default_rng(11).standard_normal((64, 48))
    energy = (x**2).sum()
    c = DualTreePackets2D(levels).forward(x)
    assert (np.abs(c) ** 2).sum() == pytest.approx(8 * energy, rel=1e-12)
    c = DualTreePackets2D(levels, stride=2 ** (levels - 1)).forward(x)
    assert (np.abs(c) ** 2).sum() == pytest.approx(32 * energy, rel=1e-12)
    c = DualTreePackets1D(levels).forward(x)
    assert (np.abs(c) ** 2).sum() == pytest.approx(2 * energy, rel=1e-12)


def test_inverse_averages_so_noise_on_coefficients_shrinks():
    # A left inverse that used one tree of four would give back the noise at full strength.
    t = DualTreePackets2D(2)
    rng = np.random.default_rng(12)
    noise = rng.standard_normal((32, 16, 16)) + 1j * rng.standard_normal((32, 16, 16))
    expected = np.linalg.norm(noise) / np.sqrt(8) / np.sqrt(4)  # redundancy 4, frame bound 8
    assert np.linalg.norm(t.inverse(noise, size=64)) == pytest.approx(expected, rel=0.05)


# ---- dtypes, layouts, batches, threads ------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [DualTreePackets1D, DualTreePackets2D])
def test_dtypes_are_kept_and_agree(cls):
    x = np.random.default_rng(13).random((2, 40, 44))
    t = cls(2)
    double, single = t.forward(x), t.forward(x.astype(np.float32))
    assert double.dtype == np.complex128 and single.dtype == np.complex64
    assert relative(single, double) < 1e-6
    assert t.inverse(single).dtype == np.float32 and t.inverse(double).dtype == np.float64
    assert t.forward((x * 255).astype(np.uint8)).dtype == np.complex128
    assert t.forward(x > 0.5).dtype == np.complex128
    assert t.forward(x.astype(">f8")).dtype == np.complex128
    assert t.forward(x.astype(np.float16)).dtype == np.complex64


@pytest.mark.parametrize("cls", [DualTreePackets1D, DualTreePackets2D])
def test_any_layout_and_any_batch_shape(cls):
    x = np.random.default_rng(14).random((3, 2, 20, 24))
    t = cls(2)
    c = t.forward(x)
    one_by_one = np.stack([[t.forward(image) for image in row] for row in x])
    np.testing.assert_allclose(c, one_by_one, atol=1e-14)
    strided = np.repeat(x, 2, axis=-1)[..., ::2]
    frozen = x.copy()
    frozen.setflags(write=False)
    turned = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 2, 3)), 3, 2)
    for other in (strided, frozen, turned, x.tolist()):
        np.testing.assert_array_equal(t.forward(other), c)
    back = t.inverse(np.asfortranarray(c), size=(20, 24)[-t.axes :])
    np.testing.assert_allclose(back, x, atol=1e-12)


@pytest.mark.nojit
@pytest.mark.parametrize("batch", [(0,), (0, 2), (3, 0)])
@pytest.mark.parametrize("cls", [DualTreePackets1D, DualTreePackets2D])
def test_empty_batches_come_out_empty(cls, batch):
    t = cls(1, "cf_1_1")
    for threads in (1, 2):
        wavelets.set_num_threads(threads)
        try:
            for size in ((8, 8), (5, 6)):
                c = t.forward(np.ones((*batch, *size), np.float32))
                assert c.shape == (*batch, *t.forward(np.ones(size)).shape) and c.dtype == np.complex64
                for back in (t.inverse(c), t.adjoint(c), t.inverse(np.asarray(c), size[-t.axes :])):
                    assert back.shape == (*batch, *size) and back.dtype == np.float32
        finally:
            wavelets.set_num_threads(None)
    if t.axes == 2:
        assert DualTreePackets2D(3).forward(np.ones((0, 64, 64))).shape == (0, 128, 8, 8)


@pytest.mark.nojit
def test_narrow_images_are_no_colour_images():
    t = DualTreePackets2D(1, "cf_1_1")
    for shape in ((16, 3), (16, 15, 3), (15, 16, 4), (3, 16, 16), (16, 16, 5), (16, 16, 2)):
        assert t.forward(np.ones(shape)).shape[-1] == (shape[-1] + 1) // 2


@pytest.mark.nojit
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("kind", "result"),
    [("c8", np.float32), ("c16", np.float64), ("f4", np.float32), ("f8", np.float64), ("f2", np.float32)],
)
def test_byte_order_is_no_precision(order, kind, result):
    for t in (DualTreePackets1D(1, "cf_1_1"), DualTreePackets2D(1, "cf_1_1")):
        x = np.random.default_rng(18).random((8, 8)).astype(result)
        c = np.asarray(t.forward(x))
        values = c if kind[0] == "c" else c.real
        back = t.inverse(values.astype(order + kind), (8,) * t.axes)
        assert back.dtype == result
        np.testing.assert_allclose(back, t.inverse(values, (8,) * t.axes), atol=2e-3 if kind == "f2" else 0)
        if kind[0] == "f":
            assert t.forward(x.astype(order + kind)).dtype == np.result_type(result, np.complex64)


@pytest.mark.parametrize("fine", [0, 1])
def test_the_phase_of_a_wave_goes_back_by_its_frequency_times_the_stride(fine):
    one, two = (cls(2, stride=4 >> fine) for cls in (DualTreePackets1D, DualTreePackets2D))
    n = np.arange(64)
    for channel in np.flatnonzero(~one.packets.edge):
        omega = np.round(one.frequencies[channel] * 32 / np.pi) * np.pi / 32
        c = np.asarray(one.forward(np.cos(omega * n)))[channel]
        steps = np.angle(c[1:] / c[:-1] * np.exp(1j * omega * one.stride))
        assert np.abs(steps).max() < 0.15
        wave = wavelets.analytic(np.cos(omega * n)[None])[0]
        np.testing.assert_allclose(wave[1:] / wave[:-1], np.exp(1j * omega), atol=1e-10)
    for channel in np.flatnonzero(~two.packets.edge):
        theta = np.round(two.frequencies[channel] * 32 / np.pi) * np.pi / 32
        x = np.cos(theta[0] * n[:, None] + theta[1] * n)
        c = np.asarray(two.forward(x))[channel]
        down = np.angle(c[1:] / c[:-1] * np.exp(1j * theta[0] * two.stride))
        right = np.angle(c[:, 1:] / c[:, :-1] * np.exp(1j * theta[1] * two.stride))
        assert np.abs(down).max() < 0.15 and np.abs(right).max() < 0.15
        wave = wavelets.analytic(x)
        np.testing.assert_allclose(wave[1:] / wave[:-1], np.exp(1j * theta[0]), atol=1e-10)


def test_the_input_is_left_alone():
    x = np.random.default_rng(15).random((30, 30))
    before = x.copy()
    t = DualTreePackets2D(3)
    c = t.forward(x)
    kept = np.array(c)
    t.inverse(c)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(c, kept)


def test_coefficients_remember_the_size():
    t = DualTreePackets2D(3)
    x = np.random.default_rng(16).random((61, 63))
    c = t.forward(x)
    assert type(np.asarray(c)) is np.ndarray and c.original_size == (61, 63)
    assert (c * 2).original_size == (61, 63) and isinstance(np.abs(c).max(), np.float64)
    np.testing.assert_allclose(t.inverse(c * 2), 2 * x, atol=1e-12)
    np.testing.assert_allclose(t.inverse(pickle.loads(pickle.dumps(c))), x, atol=1e-12)
    np.testing.assert_allclose(t.inverse(np.asarray(c), size=(61, 63)), x, atol=1e-12)
    again = pickle.loads(pickle.dumps(t))
    np.testing.assert_array_equal(again.forward(x), c)


def test_threads_change_nothing():
    x = np.random.default_rng(17).random((7, 64, 64)).astype(np.float32)
    t = DualTreePackets2D(3)
    for wrong, error in ((0, ValueError), ("a", TypeError), (1.5, TypeError)):
        with pytest.raises(error, match="threads"):
            wavelets.set_num_threads(wrong)
    wavelets.set_num_threads(1)
    try:
        serial = t.forward(x)
        wavelets.set_num_threads(3)
        np.testing.assert_array_equal(t.forward(x), serial)
    finally:
        wavelets.set_num_threads(None)


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"levels": 0}, ValueError, "levels is 0; expected 1 to 6"),
        ({"levels": 99}, ValueError, "levels is 99"),
        ({"levels": 2.5}, TypeError, "float"),
        ({"levels": True}, TypeError, "bool"),
        ({"levels": "2"}, TypeError, "str"),
        ({"levels": 2, "filters": "nope"}, ValueError, "unknown filters 'nope'"),
        ({"levels": 2, "filters": None}, TypeError, "NoneType"),
        ({"levels": 2, "boundary": "wrap"}, ValueError, "unknown boundary 'wrap'; expected one of periodization"),
        ({"levels": 2, "stride": 3}, ValueError, "stride is 3; expected 4"),
        ({"levels": 2, "stride": "4"}, TypeError, "stride must be an integer, not str"),
        ({"levels": 1, "stride": True}, TypeError, "stride must be an integer, not bool"),
    ],
)
@pytest.mark.parametrize("cls", [DualTreePackets1D, DualTreePackets2D])
def test_bad_arguments(cls, arguments, error, message):
    with pytest.raises(error, match=message.replace("(", r"\(")):
        cls(**arguments)


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ones((4, 4), complex), TypeError, "complex"),
        (np.array([["a", "b"]]), TypeError, "expected real numbers"),
        (np.array([[None, 1]]), TypeError, "expected real numbers"),
        ([[1, 2], [3]], ValueError, "rectangular"),
        (np.full((4, 4), np.nan), ValueError, "16 NaN or infinite values"),
        (np.array([[1, np.inf]]), ValueError, "1 NaN or infinite"),
        (np.ones((0, 4)), ValueError, "no elements"),
        (np.ones((0, 4, 0)), ValueError, "no elements"),
        (np.ones((16, 16, 3)), ValueError, r"colours first, \(\.\.\., 3, 16, 16\)"),
        (np.ones((2, 20, 17, 4)), ValueError, r"colours first, \(\.\.\., 4, 20, 17\)"),
        (np.ones((3, 4, 0)), ValueError, "no elements"),
        (np.ones(4), ValueError, "at least 2 axes"),
        (3.0, ValueError, "at least 2 axes"),
        (np.ma.masked_greater(np.eye(3), 0.5), ValueError, "masked"),
    ],
)
def test_bad_images(x, error, message):
    with pytest.raises(error, match=message):
        DualTreePackets2D(2).forward(x)


@pytest.mark.nojit
def test_bad_coefficients():
    t = DualTreePackets2D(2)
    c = np.asarray(t.forward(np.ones((16, 16))))
    with pytest.raises(ValueError, match=r"expected \(\.\.\., 32, n, n\)"):
        t.inverse(c[:31])
    with pytest.raises(ValueError, match=r"expected \(5, 5\) for a signal of size \(20, 20\)"):
        t.inverse(c, size=20)
    with pytest.raises(TypeError, match="complex numbers"):
        t.inverse(c.astype(str))
    with pytest.raises(ValueError, match="size is 0; expected at least 1"):
        t.inverse(c, size=(0, 16))
    with pytest.raises(TypeError, match="size must be an integer, not str"):
        t.inverse(c, size="16")
    with pytest.raises(ValueError, match="expected 2 numbers"):
        t.inverse(c, size=(16,))


@pytest.mark.nojit
def test_inverse_never_guesses_a_size():
    t = DualTreePackets2D(2)
    c = [t.forward(np.ones((13, 15)))] * 2
    for plain in (np.asarray(c[0]), np.stack(c), np.concatenate(c)):
        with pytest.raises(ValueError, match="carry no size"):
            t.inverse(plain[..., :32, :, :])
    assert t.inverse(np.stack(c), size=(13, 15)).shape == (2, 13, 15)


@pytest.mark.nojit
def test_packet_tables_agree_between_one_and_two_dimensions():
    one, two = DualTreePackets1D(3), DualTreePackets2D(3)
    table = one.packets
    np.testing.assert_array_equal(table.freq, rule.frequency_index(3))
    np.testing.assert_array_equal(table.edge, np.isin(table.freq, [0, 7]))
    np.testing.assert_array_equal(two.packets.freq_x, table.freq[two.packets.node_x])
    np.testing.assert_array_equal(table.conjugated, table.edge)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("levels", [1, 3, 6])
def test_values_that_would_overflow_are_refused(dtype, levels):
    largest = 1e-6 * float(np.finfo(dtype).max)
    for transform, shape in ((DualTreePackets2D(levels), (2, 32, 40)), (DualTreePackets1D(levels), (2, 80))):
        x = np.random.default_rng(0).choice([-1.0, 1.0], shape) * 0.99
        assert np.isfinite(np.asarray(transform.forward((largest * x).astype(dtype)))).all()
        with pytest.raises(ValueError, match=np.dtype(dtype).name):
            transform.forward((2 * largest * x).astype(dtype))
        c = np.asarray(transform.forward(x.astype(dtype)))
        assert np.isfinite(transform.inverse((largest * c).astype(c.dtype), x.shape[1:])).all()
        with pytest.raises(ValueError, match="c holds values so large"):
            transform.inverse(c / np.abs(c).max() * np.finfo(dtype).max, x.shape[1:])


# ---- memory that is given -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 24), (2, 3, 17, 20), (0, 16, 16)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_are_written_where_they_are_wanted(shape, dtype):
    t = DualTreePackets2D(2)
    x = np.random.default_rng(5).random(shape).astype(dtype)
    c = t.forward(x)
    for out in (
        np.full_like(np.asarray(c), np.nan),
        wavelets.Coefficients(np.full_like(np.asarray(c), np.nan), c.origin),
    ):
        given = t.forward(x, out=out)
        np.testing.assert_array_equal(given, c)
        assert np.asarray(given) is np.asarray(out) and given.origin == c.origin
    for back in (t.inverse, t.adjoint):
        image = np.full(shape, np.nan, dtype)
        assert back(c, out=image) is image
        np.testing.assert_array_equal(image, back(c))


def test_memory_that_does_not_fit_is_refused():
    t = DualTreePackets2D(1)
    x = np.ones((2, 8, 8))
    c = np.asarray(t.forward(x))
    read_only = np.empty_like(c)
    read_only.setflags(write=False)
    for out in (c[:1].copy(), c.astype(np.complex64), np.empty((2, 8, 4, 8), complex)[..., ::2], read_only):
        with pytest.raises(ValueError, match="out "):
            t.forward(x, out=out)
    with pytest.raises(TypeError, match="out must be an array, not list"):
        t.forward(x, out=[1])
    for back in (t.inverse, t.adjoint):
        with pytest.raises(ValueError, match="memory"):
            back(c, 8, out=c.view(float).ravel()[: x.size].reshape(x.shape))
        with pytest.raises(ValueError, match="shape"):
            back(c, 8, out=np.empty((8, 8)))


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("side", [64, 61])
def test_the_forward_of_a_batch_holds_its_result_and_a_quarter_at_most(levels, side):
    t = DualTreePackets2D(levels)
    x = np.random.default_rng(6).random((32, side, side)).astype(np.float32)
    t.forward(x)  # machine code and plans
    peaks = []
    for _ in range(5):  # a thread keeps the memory that it works in, from the first call in which it takes part
        tracemalloc.start()
        try:
            c = t.forward(x)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    peak = min(peaks)
    assert np.asarray(c).nbytes <= peak <= 1.25 * np.asarray(c).nbytes
