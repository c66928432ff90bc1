"""Time and frequency shifts of spectrogram patches, and the stability of a network under them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pandas as pd
import torch
from torch import Tensor, nn

from analysis.networks.metrics.consistency import Consistency, MeanAbsoluteChange
from wavelets.checks import integer


def time_patch(spectrogram: Tensor, start: int, frames: int = 101, shift: int = 0) -> Tensor:
    """Patch of a longer spectrogram, moved by some frames: true frames enter.

    Parameters
    ----------
    spectrogram : Tensor, shape (..., T, F)
        Time × frequency.
    start, frames : int
        First frame and length of the patch that is not moved; the sound study (Fonseca et al. 2021) starts at 0.5 s of
        10 ms frames.
    shift : int
        Frames, later if positive (time-n_f).

    Returns
    -------
    Tensor, shape (..., frames, F)
        A view.

    Raises
    ------
    ValueError
        If the patch leaves the spectrogram.
    """
    first = start + shift
    if first < 0 or first + frames > spectrogram.shape[-2]:
        raise ValueError(
            f"a patch of {frames} frames from {start}, moved by {shift}, leaves a spectrogram of "
            f"{spectrogram.shape[-2]} frames"
        )
    return spectrogram[..., first : first + integer("frames", frames, 1), :]


def frequency_shift(
    patch: Tensor, bands: int, noise: float | None = None, generator: torch.Generator | None = None
) -> Tensor:
    """Patch moved up in frequency: the highest bands are dropped, the lowest are filled with white noise.

    Parameters
    ----------
    patch : Tensor, shape (..., T, F), floating
        Log-mel, bands from low to high.
    bands : int
        Mel bands (freq-n_b); 0 to F - 1.
    noise : float, optional
        Standard deviation, in units of the patch. The study does not give it; by default that of the original
        lowest band over time, so that the noise has that band's mean and variance.
    generator : torch.Generator, optional
        For the same noise again; on the patch's device.

    Returns
    -------
    Tensor, shape (..., T, F)

    Raises
    ------
    ValueError
        If as many bands are moved as there are, or more, or noise is negative.
    """
    integer("bands", bands, 0)
    if bands >= patch.shape[-1]:
        raise ValueError(f"bands is {bands}, but the patch has {patch.shape[-1]}; expected fewer")
    if noise is not None and not noise >= 0:
        raise ValueError(f"noise is {noise}; expected a standard deviation, at least 0")
    lowest = patch[..., :1]
    mean = lowest.mean(-2, keepdim=True)
    deviation = lowest.std(-2, correction=0, keepdim=True) if noise is None else noise
    white = torch.randn((*patch.shape[:-1], bands), generator=generator, dtype=patch.dtype, device=patch.device)
    return torch.cat((mean + deviation * white, patch[..., : patch.shape[-1] - bands]), -1)


@torch.no_grad()
def spectrogram_stability(
    model: nn.Module | Callable[[Tensor], Tensor],
    spectrograms: Iterable[Tensor],
    start: int = 50,
    frames: int = 101,
    shifts: Sequence[int] = (1, 3, 5),
    *,
    activation: str | None = "sigmoid",
    noise: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Consistency and mean absolute change under the time and frequency protocols.

    Parameters
    ----------
    model : module or callable
        From patches (N, channels, frames, F) to outputs (N, C); in evaluation mode.
    spectrograms : iterable of Tensor, shape (N, channels, T, F)
        Batches, read once.
    start, frames : int
        The patch that is not moved.
    shifts : sequence of int
        Frames of time-n_f and bands of freq-n_b.
    activation : {"sigmoid", "softmax", None}
        Function from outputs to probabilities.
    noise, seed
        Of the frequency protocol, see :func:`frequency_shift`.

    Returns
    -------
    DataFrame
        One row a protocol, ``time-1`` and so on, with columns ``consistency`` (%) and ``mac``.

    Raises
    ------
    ValueError
        If there are no spectrograms, or a patch leaves them.

    Notes
    -----
    theory.md, section 7.2; Fonseca et al., table III.
    """
    names = [f"{kind}-{shift}" for kind in ("time", "freq") for shift in shifts]
    consistency = {name: Consistency() for name in names}
    change = {name: MeanAbsoluteChange(activation) for name in names}
    generator = torch.Generator().manual_seed(seed)
    for batch in spectrograms:
        patch = time_patch(batch, start, frames)
        original = model(patch)
        for kind in ("time", "freq"):
            for shift in shifts:
                if kind == "time":
                    moved = time_patch(batch, start, frames, shift)
                else:
                    moved = frequency_shift(patch.cpu(), shift, noise, generator).to(patch.device)
                shifted = model(moved)
                consistency[f"{kind}-{shift}"].update(torch.stack((original, shifted)))
                change[f"{kind}-{shift}"].update(original, shifted)
    return pd.DataFrame(
        {
            "consistency": [100 * consistency[name].compute() for name in names],
            "mac": [change[name].compute() for name in names],
        },
        index=pd.Index(names, name="protocol"),
    )


@torch.no_grad()
def score_by_shift(
    model: nn.Module | Callable[[Tensor], Tensor],
    spectrogram: Tensor,
    label: int,
    start: int = 50,
    frames: int = 101,
    shifts: Sequence[int] = tuple(range(11)),
    *,
    activation: str | None = "sigmoid",
    noise: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Score of one class of one recording, by the frames or bands that its patch is moved by.

    Parameters
    ----------
    model, start, frames, activation, noise, seed
        As for :func:`spectrogram_stability`.
    spectrogram : Tensor, shape (channels, T, F)
    label : int
        The class.
    shifts : sequence of int
        Frames, and bands.

    Returns
    -------
    DataFrame
        A row a shift, columns ``time`` and ``freq``: scores.

    Notes
    -----
    Fonseca et al., Fig. 2.
    """
    probability = MeanAbsoluteChange(activation).probability
    patch = time_patch(spectrogram[None], start, frames)
    found: dict[str, list[float]] = {"time": [], "freq": []}
    for shift in shifts:
        generator = torch.Generator().manual_seed(seed)
        moved = time_patch(spectrogram[None], start, frames, shift), frequency_shift(patch, shift, noise, generator)
        for name, patches in zip(found, moved, strict=True):
            found[name].append(float(probability(model(patches).double())[0, label]))
    return pd.DataFrame(found, index=pd.Index(list(shifts), name="shift"))
