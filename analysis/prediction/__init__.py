r"""Discrepancy and shift change predicted for actual filters, from the power spectrum of the images.

Two models of images share a given power spectrum (but for its zero frequency) and are opposite in everything else.

*Gaussian field.* The responses in a pooling window are jointly Gaussian; their covariance, with its non-circular
part, follows from filter and spectrum. Means over it are taken by quasi-Monte Carlo, in independent replicates that
state the error.

*Isolated features.* One localised feature, whose waves are all in phase at one point, at a random place. Its spectrum
is the same; what differs is that its phases are aligned, as they are at corners, ends and specks of photographs.

A mixture has a part of its energy in isolated features. Expected squares are linear in that part if the features lie
apart from each other and from the field, which is a model of places and no sum of the two. One number,
:func:`fit_isolated`, describes RMax on a set of photographs: an empirical model, which overrates the change of CMod.
Taken from packets (:func:`typical_share`) it predicts the discrepancy of trained kernels as well.
"""

from analysis.prediction.gaussian import (
    expected_discrepancy,
    gaussian_moments,
    response_covariance,
    square_covariance,
)
from analysis.prediction.isolated import isolated_moments
from analysis.prediction.mixture import agreement, fit_isolated, predict, predict_like, typical_share
from analysis.prediction.moments import rms
from analysis.prediction.simulation import mixture_fields

__all__ = [
    "agreement",
    "expected_discrepancy",
    "fit_isolated",
    "gaussian_moments",
    "isolated_moments",
    "mixture_fields",
    "predict",
    "predict_like",
    "response_covariance",
    "rms",
    "square_covariance",
    "typical_share",
]
