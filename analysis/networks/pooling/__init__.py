"""Pooling operators as torch modules, each a dense map and its subsampling: ``pool.subsample(pool.dense(x))``."""

from analysis.networks.pooling.adaptive import AdaptiveBlurPool
from analysis.networks.pooling.blur import BlurPool, MaxBlurPool
from analysis.networks.pooling.cascade import Cascade
from analysis.networks.pooling.ideal import IdealPool
from analysis.networks.pooling.maximum import IntraBlockPool, MaxPool
from analysis.networks.pooling.modulus import CMod, ModulusBatchNorm
from analysis.networks.pooling.polyphase import APS
from analysis.networks.pooling.trainable import TLPF

__all__ = [
    "APS",
    "TLPF",
    "AdaptiveBlurPool",
    "BlurPool",
    "CMod",
    "Cascade",
    "IdealPool",
    "IntraBlockPool",
    "MaxBlurPool",
    "MaxPool",
    "ModulusBatchNorm",
]
