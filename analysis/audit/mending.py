"""Gain of mending: places mended by a remedy one after the other, each time the one that takes most change away."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import nn

from analysis.audit.blame import Network
from analysis.audit.experiment import DRAWS, HEAD, STILL, NetworkAudit
from analysis.files.messages import first_line, unknown
from analysis.networks.layer_access import evaluation
from analysis.networks.metrics import standard_error
from analysis.networks.remedy_table import Remedy, remedies, remedy
from analysis.runs.feed import feed
from analysis.runs.journal import resumable

CHANGE, ANSWER, SAME = range(3)
"""Sums of each network: squared change of the answer, squared answer, answers of the plain network's class."""


PERIODIC = 1e-4
"""Largest change, over the answer, that rounding makes under a shift by all strides."""


class _Networks:
    """Measurement of the change of several networks, the first of which is the plain one, under an audit's shifts."""

    def __init__(self, audit: NetworkAudit, networks: Sequence[Network]) -> None:
        self.audit, self.networks = audit, networks

    @property
    def length(self) -> int:
        return (1 + DRAWS) * 3 * len(self.networks)

    @torch.no_grad()
    def measure(self, pictures: NDArray[np.float32], names: Sequence[str]) -> tuple[NDArray[np.float64], None]:
        """Sums of pictures, shape (length,): of all and in each draw, by network, in the order of the head of this."""
        x = torch.from_numpy(np.ascontiguousarray(pictures)).to(self.audit.device)
        borders = self.audit.borders[0]
        values = np.zeros((len(x), len(self.networks), 3))
        for rows, first, second, _ in self.audit.batches(x, borders):
            both = torch.cat((first, second))
            answers = [network.plain(both, borders == "circular").tensor_split(2) for network in self.networks]
            for number, (shifted, answer) in enumerate(answers):
                same = answer.argmax(1) == answers[0][1].argmax(1)
                found = [(shifted - answer).square().sum(1), answer.square().sum(1), same.double()]
                np.add.at(values[:, number], [i for _, i in rows], torch.stack(found, 1).cpu().numpy())
        return (self.audit.draws(x) @ values.reshape(len(x), -1)).ravel(), None


def mending_passes(audit: NetworkAudit, pictures: int) -> int:
    """Passes of single pictures through networks that :func:`mending_order` takes at most."""
    places = len(audit.network.places)
    cases = 1 if audit.turns else len(audit.cases) // len(audit.borders)
    return 2 * cases * pictures * (places + places * (places + 1) // 2)


def mending_order(
    audit: NetworkAudit,
    images: str | os.PathLike[str] | Iterable[Any],
    name: str = "blur3",
    *,
    folder: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    **feeding: Any,
) -> xr.Dataset:
    """Mend the places of a network with a remedy one by one, always the one that then takes most of the change away.

    The change is the one that the audit shares out, with its first borders: mean square of the centred logits'
    difference between pictures and shifted pictures, here of the mended network, over that of the plain one. Errors are
    over pictures, and those of gains over pairs. All places are mended in the end, also where that makes it worse.

    Parameters
    ----------
    audit : NetworkAudit
        Its network stays as it is.
    images
        As for :func:`analysis.runs.feed.feed`.
    name : str
        Of a remedy that goes to single places.
    folder : path, optional
        Where journals are kept, one for each step, from which a run that was stopped continues; it is created.
    settings : mapping, optional
        What the sums depend on beside the audit's settings and the images, for the journals.
    overwrite : bool
        Begin anew, whatever is in the folder.
    **feeding
        Further arguments of :func:`analysis.runs.feed.feed`.

    Returns
    -------
    xarray.Dataset
        Along `remedy`, here one, `step` and `place` (with the head, as in an audit). ``mend_place``, the place of each
        step; ``mend_gone``, the share of the change that is gone then; ``mend_gain``, what the step adds to it;
        ``mend_same``, share of the pictures whose class stays that of the plain network; ``mend_answer``, root mean
        square of the logits over the plain network's, for smaller logits change less too. ``mend_gone_with``, the
        share that is gone if a place is mended at a step beside those before it: at the first one, alone.
        ``mend_unreached``, why the remedy does not reach a place, or "". Errors end in ``_stderr``; steps that are not
        reached, and all of a network that does not change, have NaN.

    Raises
    ------
    ValueError
        If the remedy is unknown, or goes to a whole network only; as of :func:`analysis.runs.feed.feed`.
    """
    chosen = placewise(name)
    names = [place.name for place in audit.places] + [HEAD]
    left = [place.name for place in audit.network.places]
    unreached, steps = dict.fromkeys(names, ""), [_nothing(names) for _ in left]
    mended: list[str] = []
    before = np.zeros(1 + DRAWS)
    while left:
        networks = {}
        for place in left:
            try:
                networks[place] = _mended(audit, chosen, [*mended, place])
            except Exception as error:  # a copy of a network, or a run of it, calls code of the user's
                unreached[place] = first_line(error)
        left = list(networks)
        if not left:
            break
        whole = {**(settings or {}), **audit.settings(), "remedy": name, "mended": mended, "candidates": left}
        plain = Network(audit.network.model, [], audit.network.preprocess, audit.network.output)
        measured = _Networks(audit, [plain, *networks.values()])
        with _journal(folder, f"{name}_{_digest(mended, left)}", whole, overwrite) as journal:
            (sums,), _ = feed(images, [measured], audit.size, audit.colour, "mending", journal=journal, **feeding)
        sums = sums.reshape(1 + DRAWS, 1 + len(left), 3)
        if not sums[0, 0, CHANGE] >= STILL**2 * sums[0, 0, ANSWER]:
            break
        with np.errstate(invalid="ignore", divide="ignore"):  # draws without pictures
            gone = 1 - sums[:, 1:, CHANGE] / sums[:, :1, CHANGE]
        best = int(gone[0].argmax())
        columns = [names.index(place) for place in left]
        steps[len(mended)] |= _step(left[best], gone[:, best], before, sums[0, 1 + best] / sums[0, 0])
        steps[len(mended)]["mend_gone_with"][columns] = gone[0]
        steps[len(mended)]["mend_gone_with_stderr"][columns] = standard_error(gone[1:])
        before = gone[:, best]
        mended.append(left.pop(best))
    return _dataset(name, names, steps, unreached)


def placewise(name: str) -> Remedy:
    """Remedy that goes to single places, by name; ValueError if there is none."""
    table = [key for key, one in remedies().items() if one.factory is not None]
    if name not in table:
        if name in remedies():
            raise ValueError(f"remedy {name!r} is for a whole network; expected one for single places, such as blur3")
        raise ValueError(unknown("remedy", name, table))
    return remedy(name)


def _mended(audit: NetworkAudit, chosen: Remedy, names: list[str]) -> Network:
    """Copy of the network with a remedy at some places, which has been run once."""
    plain = audit.network
    picture = torch.full((1, 3, audit.size, audit.size), 0.5, device=audit.device)
    example = picture if plain.preprocess is None else plain.preprocess(picture)
    circular = audit.borders[0] == "circular"
    borders = {"padding_mode": "circular"} if circular else {}  # a remedy that mirrors its borders does not commute
    model: nn.Module = evaluation(chosen(plain.model, example, names=names, **borders)[0].to(audit.device))
    network = Network(model, [], plain.preprocess, plain.output)
    with torch.no_grad():
        network.plain(picture, circular)
        if circular and _periodic(plain, audit) and not _periodic(network, audit):
            raise ValueError(
                f"with circular borders {names[-1]} does not keep its period, as where a network pads on one side"
            )
    return network


def _periodic(network: Network, audit: NetworkAudit) -> bool:
    """Tell if the answer stays when pictures move around by all strides, or those do not fit into its size."""
    steps = [round(max(place.total_stride[axis] for place in audit.network.places)) for axis in (0, 1)]
    if any(audit.size % step for step in steps):
        return True
    for picture in torch.rand(4, 1, 3, audit.size, audit.size, generator=torch.Generator().manual_seed(0)):
        moved, still = (network.plain(x.to(audit.device), True) for x in (picture.roll(steps, (2, 3)), picture))
        if not (moved - still).norm() <= PERIODIC * still.norm():
            return False
    return True


def _digest(*lists: Sequence[str]) -> str:
    """Short name for lists of places, in names of files."""
    return f"{zlib.crc32(repr(lists).encode()):08x}"


def _journal(
    folder: str | os.PathLike[str] | None, name: str, settings: dict[str, Any], overwrite: bool
) -> contextlib.AbstractContextManager[Any]:
    if folder is None:
        return contextlib.nullcontext()
    Path(folder).mkdir(exist_ok=True)
    return resumable(Path(folder), name, settings, [], False, overwrite)


def _nothing(names: Sequence[str]) -> dict[str, Any]:
    """Values of a step that is not reached."""
    numbers = ("gone", "gone_stderr", "gain", "gain_stderr", "same", "answer")
    by_place = {f"mend_gone_with{end}": np.full(len(names), np.nan) for end in ("", "_stderr")}
    return {"mend_place": ""} | {f"mend_{name}": np.nan for name in numbers} | by_place


def _step(
    place: str, gone: NDArray[np.float64], before: NDArray[np.float64], ratios: NDArray[np.float64]
) -> dict[str, Any]:
    """Values of a step: share that is gone, of all pictures and in each draw, and what it was before."""
    gain = gone - before
    return {
        "mend_place": place,
        "mend_gone": gone[0],
        "mend_gone_stderr": standard_error(gone[1:]),
        "mend_gain": gain[0],
        "mend_gain_stderr": standard_error(gain[1:]),
        "mend_same": ratios[SAME],
        "mend_answer": np.sqrt(ratios[ANSWER]),
    }


def _dataset(
    name: str, names: Sequence[str], steps: Sequence[dict[str, Any]], unreached: Mapping[str, str]
) -> xr.Dataset:
    values: dict[str, Any] = {
        key: (("remedy", "step", "place") if np.ndim(steps[0][key]) else ("remedy", "step"), [[s[key] for s in steps]])
        for key in steps[0]
    }
    values["mend_unreached"] = (("remedy", "place"), [[unreached[place] for place in names]])
    return xr.Dataset(values, {"remedy": [name], "step": np.arange(1, 1 + len(steps)), "place": list(names)})
