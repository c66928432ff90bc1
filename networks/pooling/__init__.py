"""Pooling operators as torch modules, each a dense map and its subsampling: ``pool.subsample(pool.dense(x))``."""

from networks.pooling.adaptive import AdaptiveBlurPool
from networks.pooling.blur import BlurPool, MaxBlurPool
from networks.pooling.cascade import Cascade
from networks.pooling.maximum import IntraBlockPool, MaxPool
from networks.pooling.modulus import CMod, ModulusBatchNorm
from networks.pooling.polyphase import APS
from networks.pooling.trainable import TLPF

__all__ = [
    "APS",
    "TLPF",
    "AdaptiveBlurPool",
    "BlurPool",
    "CMod",
    "Cascade",
    "IntraBlockPool",
    "MaxBlurPool",
    "MaxPool",
    "ModulusBatchNorm",
]
