"""The twins of the poster by name; those with the published filters have "-qshift" at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from torch import nn

from analysis.networks.published_networks import BLOCKS, BLURS, Entry, poster_description
from analysis.networks.twins.walexnet import WAlexNet
from analysis.networks.twins.wresnet import WResNet

GABOR = {"rmax": "max pooling of the Gabor channels", "cmod": "modulus of complex Gabor channels"}
PUBLISHED_BANK = "qshift_a"
QSHIFT = "filters qshift_a, as published; they need dtcwt"
OWN_FILTERS = "filters cf_3_3, where the published ones are qshift_a"
DEEPER = {
    "": "",
    "-blur": ", 3-tap binomial filters everywhere else",
    "-blur4": ", 4-tap binomial filters everywhere else",
    "-ablur": ", adaptive filters of Zou et al. everywhere else",
}


def twins() -> Iterator[Entry]:
    """WAlexNet and WResNet, RMax and CMod, with and without blur, and the ablated forms."""

    def entry(name: str, make: Callable[..., nn.Module], form: str) -> Entry:
        form += f"; {QSHIFT if name.endswith('-qshift') else OWN_FILTERS}"
        return Entry(name, make, partial(poster_description, name, form))

    make: Callable[..., nn.Module]
    for twin, gabor in GABOR.items():
        for blur in ("", "-blur", "-blur4"):
            make = partial(WAlexNet, twin=twin, pooling=BLURS[blur])
            yield entry(f"walexnet-{twin}{blur}", make, f"WAlexNet, {gabor}{deeper(twin, blur)}")
        make = partial(WAlexNet, twin=twin, filters=PUBLISHED_BANK)
        yield entry(f"walexnet-{twin}-qshift", make, f"WAlexNet, {gabor}")
    for base, blocks in BLOCKS.items():
        title = f"WResNet-{base.removeprefix('resnet')}"
        for twin, gabor in GABOR.items():
            for blur, pooling in BLURS.items():
                make = partial(WResNet, blocks, twin=twin, pooling=pooling)
                yield entry(f"w{base}-{twin}{blur}", make, f"{title}, {gabor}{deeper(twin, blur)}")
            make = partial(WResNet, blocks, twin=twin, filters=PUBLISHED_BANK)
            yield entry(f"w{base}-{twin}-qshift", make, f"{title}, {gabor}")
        for blur in ("-blur", "-ablur"):
            make = partial(WResNet, blocks, pooling=BLURS[blur], gabor_pooling="max")
            form = f"{title}, plain max pooling of the Gabor channels{DEEPER[blur]}: the subtractive ablation"
            yield entry(f"w{base}-rmax{blur}-ablated", make, form)
        make = partial(WResNet, blocks, gabor_pooling="blur3")
        form = f"{title}, 3-tap binomial filter on the Gabor channels only: the additive ablation"
        yield entry(f"w{base}-rmax-blur-additive", make, form)


def deeper(twin: str, blur: str) -> str:
    """Describe a blur; of a CMod twin it leaves the Gabor channels alone."""
    return DEEPER[blur] if twin == "cmod" else DEEPER[blur].replace(" else", ", of the Gabor channels too")
