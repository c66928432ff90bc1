"""The 15 corruptions of ImageNet-C (Hendrycks and Dietterich 2019) for pictures of one's own.

They are those of the package `imagecorruptions-imaug`, a fork that is kept of the one that the authors' code became.
"""

from __future__ import annotations

import zlib
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.files.messages import unknown
from wavelets.checks import integer

CORRUPTIONS = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)
"""Names, in the order of the paper: noise, blur, weather, digital."""

SEVERITIES = (1, 2, 3, 4, 5)

LEAST = 32
"""Side below which the corruptions are not defined, pixels."""

_LOCK = Lock()  # the package draws from numpy's global generator


def need_corruptions() -> Any:
    """Return the package; ModuleNotFoundError with what to install."""
    try:
        import imagecorruptions
    except ImportError as error:  # also of OpenCV, which it brings along, without the system's libGL
        raise ModuleNotFoundError(
            f"corruptions need the package imagecorruptions-imaug: pip install 'shiftscope[corruptions]' ({error})"
        ) from None
    return imagecorruptions


def corrupted(picture: NDArray[np.uint8], name: str, severity: int, seed: int = 0) -> NDArray[np.uint8]:
    """Picture after a corruption.

    Parameters
    ----------
    picture : ndarray, shape (H, W, 3), uint8
        R, G, B; at least 32 pixels high and wide. ImageNet-C is of pictures of 224×224.
    name : str
        One of :data:`CORRUPTIONS`.
    severity : int
        1 to 5.
    seed : int
        Of all that is drawn at random; the same seed gives the same picture.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8

    Raises
    ------
    ModuleNotFoundError
        If the package is not installed.
    TypeError, ValueError
        If an argument is not as described.
    """
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8:
        raise TypeError(f"picture is {getattr(picture, 'dtype', type(picture).__name__)}; expected uint8")
    if picture.ndim != 3 or picture.shape[2] != 3 or min(picture.shape[:2]) < LEAST:
        raise ValueError(f"picture has shape {picture.shape}; expected (H, W, 3), at least {LEAST} pixels a side")
    if name not in CORRUPTIONS:
        raise ValueError(unknown("corruption", name, CORRUPTIONS))
    if severity not in SEVERITIES:
        raise ValueError(f"severity is {severity!r}; expected 1 to 5")
    number = zlib.crc32(f"{name} {severity} {integer('seed', seed, 0)}".encode())
    package = need_corruptions()
    options = {"seed": number} if name in ("impulse_noise", "glass_blur") else {}  # which draw by themselves
    with _LOCK:
        state = np.random.get_state()  # noqa: NPY002
        np.random.seed(number)  # noqa: NPY002
        try:
            found = package.corrupt(picture, severity, name, **options)
        finally:
            np.random.set_state(state)  # noqa: NPY002
    return np.asarray(found, np.uint8)


def all_corrupted(picture: NDArray[np.uint8], seed: int = 0) -> NDArray[np.uint8]:
    """All corruptions at all severities, shape (15, 5, H, W, 3), uint8."""
    return np.stack([[corrupted(picture, name, severity, seed) for severity in SEVERITIES] for name in CORRUPTIONS])
