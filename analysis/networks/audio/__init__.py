"""Audio front end of the sound-event networks: log-mel spectrogram, patches of it, and mixtures of training examples.

Spectrograms are time × frequency, as in :mod:`analysis.networks.metrics.spectrograms`. theory.md, section 7.2.
"""

from analysis.networks.audio.mixtures import mixup
from analysis.networks.audio.patching import clip_scores, patches
from analysis.networks.audio.spectrogram import LogMel

__all__ = ["LogMel", "clip_scores", "mixup", "patches"]
