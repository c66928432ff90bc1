"""Log-mel spectrogram with the parameters of the sound study (Fonseca et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.functional import pad

from wavelets.checks import integer, positive
from wavelets.nn import HALF, REAL, no_autocast


class LogMel(nn.Module):
    r"""Log-mel spectrogram: power in bands equally wide on the mel scale, in decibels.

    Parameters
    ----------
    sample_rate : float
        Hz. The study does not give it; the default is that of the recordings used here.
    bands : int
        Triangular filters of peak height 1 between 0 and half the sample rate.
    window, hop : float
        Length and step of the periodic Hann window, ms; rounded to samples, a half to even.
    n_fft : int, optional
        Samples of the Fourier transform, the window padded with zeros. Default: the first power of two that the window
        fits into and whose frequencies no band can lie between.
    floor : float
        Least power, so that silence is finite: 1e-10 is -100 dB.
    centre : bool
        Frames on the multiples of the hop, the recording continued by zeros on both sides: one second is the 101 frames
        of the study. Otherwise only frames that lie within the recording, 98.

    Attributes
    ----------
    window_length, hop_length, n_fft : int
        Samples.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range, or a band lies between two frequencies of the transform.

    Notes
    -----
    :math:`10\log_{10}\max(\sum_k H_{kb}|\mathrm{FFT}(w\,x_t)_k|^2,\ \mathrm{floor})` with
    :math:`\mathrm{mel}(f)=2595\log_{10}(1+f/700)` (HTK) and a full scale of 1. Fonseca et al., section III-A;
    theory.md, section 7.2. That the study's frames are centred is inferred from their number.

    *Precision.* float32 and float64; float16 and bfloat16 are computed in float32 and give that, since in bfloat16 a
    level is only good to half a decibel. Autocast changes nothing. *State.* Window and filters are constants in float64
    that are not in the state dict.

    Examples
    --------
    >>> LogMel()(torch.zeros(8, 22050)).shape
    torch.Size([8, 101, 96])
    """

    hann: Tensor
    filters: Tensor

    def __init__(
        self,
        sample_rate: float = 22050,
        bands: int = 96,
        window: float = 30.0,
        hop: float = 10.0,
        n_fft: int | None = None,
        floor: float = 1e-10,
        centre: bool = True,
    ) -> None:
        super().__init__()
        self.sample_rate = positive("sample_rate", sample_rate)
        self.bands = integer("bands", bands, 1)
        self.window_length = _samples("window", window, self.sample_rate)
        self.hop_length = _samples("hop", hop, self.sample_rate)
        if n_fft is None:
            narrowest = mel_corners(self.sample_rate, self.bands)[2]  # Hz, the width of the first band
            n_fft = 1 << max(self.window_length - 1, int(self.sample_rate / narrowest)).bit_length()
        self.n_fft = integer("n_fft", n_fft, self.window_length)
        self.floor = positive("floor", floor)
        self.centre = centre
        for name, values in self._constants().items():
            self.register_buffer(name, values, persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Transform recordings.

        Parameters
        ----------
        audio : Tensor, shape (..., samples), floating
            Full scale 1.

        Returns
        -------
        Tensor, shape (..., T, F), float32, or float64 for float64
            Decibels; F bands from low to high. T = 1 + samples // hop_length frames if they are centred, otherwise 1 +
            (samples - window_length) // hop_length.

        Raises
        ------
        TypeError
            If it is no tensor, or not real and floating.
        ValueError
            If it is shorter than the window, on another device, or, unless compiled, holds NaN or infinity.
        """
        x = self._checked(audio)
        if self.centre:
            x = pad(x, (self.window_length // 2, self.window_length - self.window_length // 2))
        if not x.numel():  # which FFT libraries refuse
            count = (x.shape[-1] - self.window_length) // self.hop_length + 1
            return x.new_empty(*x.shape[:-1], count, self.bands)
        with no_autocast(x.device):
            frames = x.unfold(-1, self.window_length, self.hop_length) * self.hann.to(x.dtype)
            power = torch.view_as_real(torch.fft.rfft(frames, self.n_fft)).square().sum(-1)
            return 10 * torch.log10((power @ self.filters.to(x.dtype)).clamp_min(self.floor))

    def extra_repr(self) -> str:
        """Return the arguments."""
        return (
            f"sample_rate={self.sample_rate:g}, bands={self.bands}, window_length={self.window_length}, "
            f"hop_length={self.hop_length}, n_fft={self.n_fft}, floor={self.floor:g}, centre={self.centre}"
        )

    def _checked(self, audio: Tensor) -> Tensor:
        if not isinstance(audio, Tensor):
            raise TypeError(f"audio is {type(audio).__name__}; expected a tensor")
        if audio.dtype not in REAL:
            how = (
                f": divide by its full scale, as in audio.float() / {_full_scale(audio)}" if _full_scale(audio) else ""
            )
            raise TypeError(f"audio is {audio.dtype}; expected real floating numbers with full scale 1{how}")
        least = 1 if self.centre else self.window_length
        if not audio.ndim or audio.shape[-1] < least:
            raise ValueError(f"audio has shape {tuple(audio.shape)}; expected (..., samples), {least} samples at least")
        if audio.device != self.hann.device:
            raise ValueError(f"audio is on {audio.device}, the module on {self.hann.device}; expected one device")
        # A compiled function can not branch on values; there NaN comes out as NaN.
        if not torch.compiler.is_compiling() and not bool(audio.isfinite().all()):
            bad = int((~audio.isfinite()).sum())
            raise ValueError(f"audio holds {bad} NaN or infinite samples of {audio.numel()}; expected finite numbers")
        return audio.to(HALF.get(audio.dtype, audio.dtype))

    def _constants(self) -> dict[str, Tensor]:
        phase = 2 * np.pi * np.arange(self.window_length) / self.window_length
        filters = mel_filters(self.sample_rate, self.n_fft, self.bands)
        return {"hann": torch.from_numpy(0.5 - 0.5 * np.cos(phase)), "filters": torch.from_numpy(filters)}

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Any:
        """Follow `to` to another device, in float64."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        device = self.hann.device
        for name, values in self._constants().items():
            self._buffers[name] = values.to(device)
        return self


def mel_corners(sample_rate: float, bands: int) -> NDArray[np.float64]:
    """Corners of the bands, Hz: band b goes from corner b to corner b + 2."""
    return _hertz(np.linspace(0, _mel(sample_rate / 2), bands + 2))


def mel_filters(sample_rate: float, n_fft: int, bands: int) -> NDArray[np.float64]:
    """Triangular filters with corners at equal steps of the mel scale, from 0 Hz to half the sample rate.

    Parameters
    ----------
    sample_rate : float
        Hz.
    n_fft : int
        Samples of the Fourier transform.
    bands : int

    Returns
    -------
    ndarray, shape (n_fft // 2 + 1, bands), float64
        Straight lines over the frequency in Hz, 0 to 1.

    Raises
    ------
    ValueError
        If a band is so narrow that no frequency of the transform lies in it.
    """
    corners = mel_corners(sample_rate, bands)
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    frequency = np.arange(n_fft // 2 + 1)[:, None] * (sample_rate / n_fft)
    filters = np.maximum(np.minimum((frequency - low) / (centre - low), (high - frequency) / (high - centre)), 0.0)
    if not filters.any(0).all():
        band = int(np.argmin(filters.any(0)))
        raise ValueError(
            f"band {band} of {bands}, {low[band]:.1f} to {high[band]:.1f} Hz, lies between two frequencies of a "
            f"transform of {n_fft} samples at {sample_rate:g} Hz; expected fewer bands or a larger n_fft"
        )
    return filters


def _mel(hertz: float) -> float:
    return 2595 * float(np.log10(1 + hertz / 700))


def _hertz(mel: ArrayLike) -> NDArray[np.float64]:
    hertz: NDArray[np.float64] = 700 * (10 ** (np.asarray(mel) / 2595) - 1)
    return hertz


def _samples(name: str, milliseconds: float, sample_rate: float) -> int:
    samples = round(positive(name, milliseconds) * sample_rate / 1000)
    if not samples:
        raise ValueError(f"{name} is {milliseconds} ms, no sample at {sample_rate:g} Hz; expected at least one")
    return samples


def _full_scale(audio: Tensor) -> int:
    """Number by which integer samples have to be divided; 0 if they are not integers."""
    if audio.is_floating_point() or audio.is_complex() or audio.dtype == torch.bool:
        return 0
    return -torch.iinfo(audio.dtype).min
