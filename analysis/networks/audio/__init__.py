"""Audio front end of the sound-event networks: recordings, log-mel spectrogram, patches of it, mixtures of examples.

Spectrograms are time × frequency, as in :mod:`analysis.networks.metrics.spectrograms`. theory.md, section 7.2.
"""

from analysis.networks.audio.mixtures import mixup
from analysis.networks.audio.patching import clip_scores, patches
from analysis.networks.audio.recordings import class_folders, fsd50k, pack_recordings
from analysis.networks.audio.spectrogram import LogMel

__all__ = ["LogMel", "class_folders", "clip_scores", "fsd50k", "mixup", "pack_recordings", "patches"]
