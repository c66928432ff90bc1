"""Places of a network that a remedy has left as they were."""

from __future__ import annotations

from torch import Tensor, nn

from analysis.networks.place import Place, places

OPERATORS = tuple(
    f"analysis.networks.{name}"
    for name in ("pooling.", "surgery", "own_convolution", "patch_merging", "operator_table", "cmod_surgery")
)
"""Modules in which the layers of remedies are."""


def left_alone(model: nn.Module, example: Tensor) -> list[Place]:
    """Places that still subsample as they did before a remedy.

    Parameters
    ----------
    model : torch.nn.Module
        After the remedy.
    example : Tensor, shape (N, channels, H, W)
        Input of the network.

    Returns
    -------
    list of Place
        Without global poolings. The convolution that the picture goes into is among them for the filters that leave it.

    Raises
    ------
    TypeError, ValueError
        As of :func:`analysis.networks.places`.
    """
    modules = [(name, type(module).__module__) for name, module in model.named_modules() if name]
    ours = tuple(f"{name}." for name, home in modules if home.startswith(OPERATORS))

    def as_it_was(place: Place) -> bool:
        around = (
            not place.understood and not place.function and any(name.startswith(f"{place.module}.") for name in ours)
        )
        return (place.fault or not place.understood) and not around and not f"{place.module}.".startswith(ours)

    return [place for place in places(model, example) if as_it_was(place)]
