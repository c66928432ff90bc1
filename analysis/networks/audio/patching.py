"""Spectrograms of any length cut into patches of one length, and scores of patches put together to those of clips."""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.networks.checks import floating
from wavelets.checks import integer, to_array


def patches(spectrogram: Tensor, frames: int = 101, overlap: float = 0.5) -> Tensor:
    """Cut spectrograms into patches that overlap.

    Parameters
    ----------
    spectrogram : Tensor, shape (..., T, F)
        Time × frequency. If T is below `frames`, it is repeated until it fills one patch.
    frames : int
        Length of a patch; 101 of 10 ms in the sound study (Fonseca et al. 2021).
    overlap : float
        Share of a patch that the next one has too, from 0 to below 1; the step is rounded to frames, a half to even.

    Returns
    -------
    Tensor, shape (..., P, frames, F)
        P = 1 + (T - frames) // step, and 1 for short ones; frames at the end that fill no patch are left out. A view
        unless repeated. For networks that take channels, ``patches(s).flatten(0, -3).unsqueeze(1)``.

    Raises
    ------
    TypeError, ValueError
        If there are no frames, or an argument is out of its range.

    Notes
    -----
    Fonseca et al., section III-A; theory.md, section 7.2.
    """
    if not isinstance(spectrogram, Tensor):
        raise TypeError(f"spectrogram is {type(spectrogram).__name__}; expected a tensor")
    if spectrogram.ndim < 2 or 0 in spectrogram.shape[-2:]:
        raise ValueError(f"spectrogram has shape {tuple(spectrogram.shape)}; expected (..., T, F), neither of them 0")
    share = to_array(overlap, "overlap")
    if share.ndim or share.dtype.kind not in "fiu" or not 0 <= share < 1:
        raise ValueError(f"overlap is {overlap!r}; expected a number from 0 to below 1")
    step = max(1, round(integer("frames", frames, 1) * (1 - float(share))))
    length = spectrogram.shape[-2]
    if length < frames:
        again = torch.arange(frames, device=spectrogram.device) % length
        spectrogram = spectrogram.index_select(-2, again)
    return spectrogram.unfold(-2, frames, step).mT


def clip_scores(scores: Tensor, clips: Tensor) -> Tensor:
    """Mean score of the patches of each clip.

    Parameters
    ----------
    scores : Tensor, shape (P, C), floating
        Of patches.
    clips : Tensor, shape (P,), integer
        Number of the clip that each patch is from, 0 to the last; in any order.

    Returns
    -------
    Tensor, shape (clips, C)

    Raises
    ------
    TypeError, ValueError
        If they do not fit, or a clip has no patch.

    Examples
    --------
    >>> clip_scores(torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.5, 0.0]]), torch.tensor([0, 0, 1]))
    tensor([[0.5000, 1.0000],
            [0.5000, 0.0000]])
    """
    floating(scores, "clip_scores", "scores")
    if scores.ndim != 2 or not len(scores):
        raise ValueError(f"scores have shape {tuple(scores.shape)}; expected (P, C) with at least one patch")
    clips = torch.as_tensor(clips, device=scores.device)
    if clips.dtype == torch.bool or clips.is_floating_point() or clips.is_complex():
        raise TypeError(f"clips are {clips.dtype}; expected integers")
    if tuple(clips.shape) != (len(scores),):
        raise ValueError(f"clips have shape {tuple(clips.shape)}; expected ({len(scores)},), one a patch")
    if clips.min() < 0:
        raise ValueError(f"clips hold {int(clips.min())}; expected numbers from 0")
    clips = clips.long()
    count = clips.bincount()
    if not bool(count.all()):
        raise ValueError(f"clip {int(count.argmin())} of {len(count)} has no patch; expected at least one each")
    total = scores.new_zeros(len(count), scores.shape[1]).index_add(0, clips, scores)
    return total / count[:, None]
