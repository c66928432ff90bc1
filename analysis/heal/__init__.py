"""Mending trained networks without labels: the network with a remedy learns to answer as the plain one does."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"healed_file": ["load_healed"], "healing": ["heal_network"]},
)
