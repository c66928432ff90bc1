"""The audio front end against scipy, against stored spectrograms of recordings, and against its own definitions."""

from __future__ import annotations

import io

import numpy as np
import pytest
from scipy import signal, stats
from shared_data import DATA

torch = pytest.importorskip("torch")
from analysis.networks import LogMel, clip_scores, mixup, patches  # noqa: E402
from analysis.networks.audio.spectrogram import mel_filters  # noqa: E402

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=NO_GPU)]


def noise(*shape, dtype=torch.float64, seed=0):
    return 0.1 * torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def by_scipy(x, rate, window, hop, n_fft, bands, floor):
    """Log-mel of one recording, band × frame, from scipy's transform and triangles by interpolation."""
    hann = signal.get_window("hann", window, fftbins=True)
    transform = signal.ShortTimeFFT(hann, hop, fs=rate, mfft=n_fft)
    lead = -transform.m_num_mid % hop  # scipy centres frames on multiples of the hop
    first = (lead + transform.m_num_mid) // hop
    frames = 1 + (len(x) - window) // hop
    x = np.concatenate((np.zeros(lead), x))
    power = np.abs(transform.stft(x, p0=first, p1=first + frames)) ** 2
    top = 2595 * np.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    frequency = np.fft.rfftfreq(n_fft, 1 / rate)
    triangles = np.stack([np.interp(frequency, corners[b : b + 3], [0, 1, 0], 0, 0) for b in range(bands)])
    return 10 * np.log10(np.maximum(triangles @ power, floor))


@pytest.mark.parametrize(
    ("rate", "samples", "bands", "window", "hop", "n_fft"),
    [
        (22050, 30000, 96, 662, 220, 1024),
        (16000, 9000, 64, 480, 160, 512),
        (44100, 20000, 96, 1323, 441, 2048),
        (8000, 4001, 20, 240, 80, 256),
    ],
)
def test_equals_scipy(rate, samples, bands, window, hop, n_fft):
    module = LogMel(rate, bands, centre=False)
    assert (module.window_length, module.hop_length, module.n_fft) == (window, hop, n_fft)
    x = noise(2, samples)
    expected = [by_scipy(row, rate, window, hop, n_fft, bands, 1e-10).T for row in x.numpy()]
    np.testing.assert_allclose(module(x).numpy(), expected, rtol=0, atol=1e-10)


def test_reproduces_the_stored_spectrograms():
    """Half a quantisation step, 0.25 dB, and what the rounding of the stored waveforms to 16 bits explains.

    The stored spectrograms were made before that rounding, whose noise has a known power in every band; it decides in
    silence. Frames with clipped samples say nothing.
    """
    waveforms, spectrograms = (DATA / "esc10" / f"esc10_{name}.npz" for name in ("fold5_audio", "logmel_u8"))
    if not waveforms.is_file():
        pytest.skip("needs the recordings (set SHIFTSCOPE_DATA)")
    with np.load(waveforms) as clips, np.load(spectrograms) as stored:
        audio, rate = clips["audio"], int(clips["sample_rate"])
        level = stored["logmel"][stored["fold"] == 5].transpose(0, 2, 1)
        decibels = stored["db_offset"] + stored["db_step"] * level
        sizes = tuple(int(stored[name]) for name in ("win_length", "hop_length", "n_fft"))
    module = LogMel(rate, centre=False)
    assert (module.window_length, module.hop_length, module.n_fft) == sizes
    hann, filters = module.hann.numpy(), module.filters.numpy()
    rounding = np.sqrt(filters.sum(0) * (hann @ hann) / 12) / 32768  # amplitude of its noise in every band
    low, high = 10 ** ((decibels - 0.25) / 20) * (level > 0), 10 ** ((decibels + 0.25) / 20)
    for number, clip in enumerate(audio):
        amplitude = 10 ** (module(torch.from_numpy(clip).double() / 32768).numpy() / 20)
        outside = np.maximum(low[number] - amplitude, amplitude - high[number])
        frames = np.lib.stride_tricks.sliding_window_view(clip, sizes[0])[:: sizes[1]]
        heard = ~(np.abs(frames.astype(int)) >= 32767).any(1)
        assert (outside[heard] < 12 * rounding).all()
        # Where the noise lies 70 dB below, it moves a level by a few hundredths of a decibel.
        loud = heard[:, None] & (low[number] > 10 ** (70 / 20) * rounding)
        error = np.abs(20 * np.log10(amplitude) - decibels[number])[loud]
        assert error.size and error.max() < 0.25 + 0.03


def test_filters_are_a_closed_form():
    filters = mel_filters(22050, 1024, 96)
    assert filters.shape == (513, 96) and filters.min() == 0 and filters.max() <= 1
    # Neighbours add up to one between the first centre and the last.
    inside = slice(*np.flatnonzero(filters.sum(1) > 0.999)[[0, -1]])
    np.testing.assert_allclose(filters.sum(1)[inside], 1, atol=1e-12)


def test_a_tone_has_its_power_in_its_band():
    rate, frequency = 22050, 1000.0
    tone = torch.sin(2 * torch.pi * frequency / rate * torch.arange(rate, dtype=torch.float64))
    spectrum = LogMel()(tone)
    corners = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 11025 / 700), 98) / 2595) - 1)
    assert (spectrum.argmax(-1) == np.argmin(np.abs(corners[1:-1] - frequency))).all()
    # A tone of amplitude 1 has a peak power of (sum of the window / 2)² at its frequency.
    assert (spectrum.amax(-1) - 20 * np.log10(331 / 2)).abs().max() < 4


def test_silence_is_the_floor_and_a_gain_is_a_constant():
    module = LogMel()
    assert (module(torch.zeros(2, 700)) == -100).all()
    x = noise(22050)
    assert (module(10 * x) - module(x) - 20).abs().max() < 1e-9


def test_centred_frames_stand_on_multiples_of_the_hop():
    """A second is 101 of them, as in document 001; beyond the recording is silence."""
    x = noise(2, 22050)
    y = LogMel()(x)
    assert y.shape == (2, 101, 96)
    around = torch.nn.functional.pad(x, (331, 331))
    torch.testing.assert_close(y, LogMel(centre=False)(around), rtol=0, atol=0)
    click = torch.zeros(5000, dtype=torch.float64)
    click[7 * 220] = 1
    assert LogMel()(click).sum(1).argmax() == 7


def test_no_recordings():
    assert LogMel()(torch.zeros(0, 22050)).shape == (0, 101, 96)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 48000])
def test_no_band_is_empty_at_the_usual_rates(rate):
    assert (LogMel(rate).filters > 0).any(0).all()


def test_a_shift_by_a_hop_is_a_shift_by_a_frame():
    module, x = LogMel(centre=False), noise(12000)
    torch.testing.assert_close(module(x[220:]), module(x)[1:], rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_batches_and_precisions(dtype):
    module, x = LogMel(centre=False), noise(2, 3, 5000).to(dtype)
    y = module(x)
    assert y.shape == (2, 3, 20, 96) and y.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert (y - module(x.double())).abs().max() < (1e-9 if dtype == torch.float64 else 0.01)
    torch.testing.assert_close(module(x[1, 2]), y[1, 2], rtol=0, atol=1e-3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(module(x), y, rtol=0, atol=0)


def test_constants_stay_in_double_precision_and_out_of_the_state():
    module, x = LogMel(), noise(3000)
    expected = module(x)
    assert not module.state_dict() and not list(module.parameters())
    torch.testing.assert_close(module.half().to("cpu", torch.bfloat16)(x), expected, rtol=0, atol=0)
    with torch.device("meta"):
        empty = LogMel(16000, 40)
    torch.testing.assert_close(empty.to_empty(device="cpu")(x), LogMel(16000, 40)(x), rtol=0, atol=0)
    assert "bands=96" in repr(module)


@pytest.mark.parametrize("device", DEVICES)
def test_devices(device):
    x, y = noise(4, 3000), torch.eye(4)
    here = LogMel().to(device)(x.to(device))
    assert here.device.type == device
    torch.testing.assert_close(here.cpu(), LogMel()(x), rtol=0, atol=1e-9)
    cut = patches(here, 5)
    assert cut.device.type == clip_scores(cut[:, 0, 0], torch.arange(4)).device.type == device
    mixed = mixup(here, y.to(device), generator=torch.Generator().manual_seed(0))
    for ours, on_cpu in zip(mixed, mixup(here.cpu(), y, generator=torch.Generator().manual_seed(0)), strict=True):
        torch.testing.assert_close(ours.cpu(), on_cpu, rtol=0, atol=1e-12)
    assert mixup(here, y.to(device), generator=torch.Generator(device).manual_seed(0))[0].device.type == device


def test_gradients():
    module = LogMel(1000, 8, window=20, hop=10)
    x = noise(2, 50).requires_grad_()
    assert torch.autograd.gradcheck(module, x)
    silent = torch.zeros(60, dtype=torch.float64, requires_grad=True)
    module(silent).sum().backward()
    assert (silent.grad == 0).all()


@pytest.mark.slow
def test_compiles_and_exports():
    module, x = LogMel(), noise(2, 3000, dtype=torch.float32)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), module(x), rtol=0, atol=1e-4)
    assert compiled(x * torch.nan).isnan().all()
    dynamic = torch.export.Dim.DYNAMIC
    program = torch.export.export(module, (x,), dynamic_shapes=({0: dynamic, 1: dynamic},))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    y = noise(3, 5000, dtype=torch.float32)
    torch.testing.assert_close(torch.export.load(file).module()(y), module(y), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("audio", "error", "message"),
    [
        (np.zeros(1000), TypeError, "audio is ndarray; expected a tensor"),
        (torch.zeros(1000, dtype=torch.int16), TypeError, r"int16.*as in audio.float\(\) / 32768"),
        (torch.zeros(1000, dtype=torch.complex64), TypeError, "complex64; expected real floating numbers"),
        (torch.zeros(2, 0), ValueError, r"shape \(2, 0\).*1 samples at least"),
        (torch.tensor(1.0), ValueError, r"shape \(\)"),
        (torch.tensor([0.0, torch.nan, torch.inf] * 400), ValueError, "holds 800 NaN or infinite samples of 1200"),
        (torch.zeros(1000, device="meta"), ValueError, "on meta, the module on cpu"),
    ],
)
def test_bad_audio(audio, error, message):
    with pytest.raises(error, match=message):
        LogMel()(audio)


def test_too_short_for_a_frame():
    with pytest.raises(ValueError, match=r"shape \(2, 661\).*662 samples at least"):
        LogMel(centre=False)(torch.zeros(2, 661))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sample_rate": 0}, ValueError, "sample_rate must be positive and finite, got 0"),
        ({"sample_rate": "22050"}, TypeError, "sample_rate must be a real number"),
        ({"bands": 0}, ValueError, "bands is 0"),
        ({"window": -1}, ValueError, "window must be positive"),
        ({"hop": 0.01}, ValueError, "hop is 0.01 ms, no sample at 22050 Hz"),
        ({"n_fft": 512}, ValueError, "n_fft is 512; expected at least 662"),
        ({"floor": 0}, ValueError, "floor must be positive"),
        ({"sample_rate": 8000, "n_fft": 256}, ValueError, "band 0 of 96, .* lies between two frequencies"),
    ],
)
def test_bad_settings(arguments, error, message):
    with pytest.raises(error, match=message):
        LogMel(**arguments)


# --- patches


@pytest.mark.parametrize(("length", "count"), [(101, 1), (150, 1), (151, 2), (499, 8)])
def test_patches_are_slices(length, count):
    s = noise(2, length, 96)
    cut = patches(s)
    assert cut.shape == (2, count, 101, 96)
    for number in range(count):
        assert (cut[:, number] == s[:, 50 * number : 50 * number + 101]).all()
    assert cut.data_ptr() == s.data_ptr()


def test_short_spectrograms_are_repeated():
    s = noise(40, 3)
    cut = patches(s)
    assert cut.shape == (1, 101, 3)
    assert (cut[0] == torch.cat((s, s, s))[:101]).all()


def test_overlap():
    s = noise(20, 3)
    assert patches(s, 5, 0).shape == (4, 5, 3)
    assert (patches(s, 5, 0).flatten(0, 1) == s).all()
    assert patches(s, 5, 0.99).shape == (16, 5, 3)


@pytest.mark.parametrize(
    ("s", "options", "error", "message"),
    [
        (np.zeros((5, 3)), {}, TypeError, "spectrogram is ndarray"),
        (torch.zeros(5), {}, ValueError, r"shape \(5,\); expected \(..., T, F\)"),
        (torch.zeros(0, 5), {}, ValueError, "neither of them 0"),
        (torch.zeros(5, 3), {"overlap": 1}, ValueError, "overlap is 1; expected a number from 0 to below 1"),
        (torch.zeros(5, 3), {"overlap": "half"}, ValueError, "overlap is 'half'"),
        (torch.zeros(5, 3), {"frames": 0}, ValueError, "frames is 0"),
    ],
)
def test_bad_patches(s, options, error, message):
    with pytest.raises(error, match=message):
        patches(s, **options)


def test_clip_scores_are_means():
    scores, clips = noise(7, 4), torch.tensor([2, 0, 1, 0, 2, 2, 0])
    expected = torch.stack([scores[clips == c].mean(0) for c in range(3)])
    torch.testing.assert_close(clip_scores(scores, clips), expected, rtol=0, atol=1e-15)
    assert clip_scores(scores.half(), clips).dtype == torch.float16


@pytest.mark.parametrize(
    ("scores", "clips", "error", "message"),
    [
        (torch.zeros(2, 3), [0, 2], ValueError, "clip 1 of 3 has no patch"),
        (torch.zeros(2, 3), [0, -1], ValueError, "clips hold -1; expected numbers from 0"),
        (torch.zeros(2, 3), [0], ValueError, r"expected \(2,\)"),
        (torch.zeros(2, 3), [0.0, 1.0], TypeError, "clips are torch.float32; expected integers"),
        (torch.zeros(2, 3, dtype=torch.long), [0, 1], TypeError, r"clip_scores .*scores.*int64"),
        (torch.zeros(0, 3), [], ValueError, "at least one patch"),
    ],
)
def test_bad_scores(scores, clips, error, message):
    with pytest.raises(error, match=message):
        clip_scores(scores, torch.tensor(clips))


# --- mixup


def test_mixtures_are_mixtures_of_pairs_with_their_targets():
    x, y = torch.eye(50, dtype=torch.float64), torch.eye(50)  # so that weights can be read off
    mixed, targets = mixup(x, y, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mixed.float(), targets)
    assert (mixed >= 0).all() and torch.allclose(mixed.sum(1), torch.ones(50, dtype=torch.float64))
    assert ((mixed > 0).sum(1) <= 2).all() and ((mixed > 0).sum(0) <= 2).all()  # a permutation
    assert mixed.diagonal().unique().numel() > 40  # a share for every example
    assert targets.dtype == torch.float32


@pytest.mark.parametrize("alpha", [1.25, 0.2])
def test_shares_have_the_distribution(alpha):
    own = torch.eye(2000, dtype=torch.float64)
    shares = mixup(own, own, alpha, torch.Generator().manual_seed(0))[0].diagonal().numpy()
    assert stats.kstest(shares[shares < 1], stats.beta(alpha, alpha).cdf).pvalue > 0.01  # 1: its own partner


def test_mixtures_repeat_and_follow_the_global_seed():
    x, y = noise(8, 1, 101, 96, dtype=torch.float32), torch.eye(8, dtype=torch.long)
    one, two = (mixup(x, y, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert one[0].shape == x.shape and one[1].dtype == x.dtype
    assert not torch.equal(one[0], mixup(x, y, generator=torch.Generator().manual_seed(4))[0])
    torch.manual_seed(5)
    one = mixup(x, y)
    torch.manual_seed(5)
    assert torch.equal(one[0], mixup(x, y)[0])


@pytest.mark.parametrize(
    ("x", "y", "alpha", "error", "message"),
    [
        (torch.zeros(4, 2), torch.eye(4), 0, ValueError, "alpha must be positive and finite, got 0"),
        (torch.zeros(4, 2), torch.eye(4), torch.nan, ValueError, "alpha must be positive"),
        (torch.zeros(4, 2).long(), torch.eye(4), 1, TypeError, r"mixup .*int64"),
        (torch.zeros(4, 2), torch.zeros(4, dtype=torch.long), 1, ValueError, "one_hot"),
        (torch.zeros(4, 2), torch.eye(3), 1, ValueError, r"y \(3, 3\)"),
        (torch.zeros(4, 2), [0, 1], 1, TypeError, "y is list"),
    ],
)
def test_bad_mixtures(x, y, alpha, error, message):
    with pytest.raises(error, match=message):
        mixup(x, y, alpha)
