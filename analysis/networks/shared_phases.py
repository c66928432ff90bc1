"""One choice for all branches: adaptive polyphase sampling of maps that are added, multiplied or concatenated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import fx, nn

from analysis.networks.layer_access import Change
from analysis.networks.pooling import APS
from analysis.networks.pooling.polyphase import Phase
from analysis.networks.wiring import Wiring

History = tuple[int, ...]
"""Samplings that a map has gone through, in order, by their number."""


def share_phases(model: nn.Module, operators: Mapping[str, nn.Module]) -> dict[str, str]:
    """Let operators whose outputs meet sample the same grid, which the one that runs first chooses.

    Parameters
    ----------
    model : Module
        Changed in place.
    operators : mapping of str to Module
        By name. Those that do not end in :class:`analysis.networks.APS` do not count.

    Returns
    -------
    dict of str to str
        Operators that follow, and the one whose choice they take; "" for those that choose for themselves since several
        are in a module without a graph.

    Notes
    -----
    Chaman and Dokmanic 2021, section 4: a shortcut takes the grid of its main branch. Maps are followed through the
    graphs of all modules; those that enter a module without one (see :class:`analysis.networks.wiring.Wiring`) meet
    there. Two maps that meet have gone through the same number of samplings, and the first of one is as that of the
    other, and so on.
    """
    choosers = {id(aps): (name, aps) for name, module in operators.items() for aps in _choosers(module)}
    if len(choosers) < 2:
        return {}
    flow = _Flow(Wiring(model), choosers)
    flow.through("", [()])
    leaders: dict[str, str] = {}
    phases: dict[int, Phase] = {}
    for number, key in enumerate(flow.order):
        first = flow.root(number)
        name, aps = choosers[key]
        leader_name, leader = choosers[flow.order[first]]
        if first == number or leader is aps or leader.stride != aps.stride:
            continue
        phase = phases.setdefault(first, Phase())
        leader.phase, leader.leads = phase, True
        aps.phase, aps.leads = phase, False
        leaders[name] = leader_name
    return leaders | {choosers[key][0]: "" for key in flow.hidden if choosers[key][1].phase is None}


def with_leader(change: Change, leaders: Mapping[str, str]) -> Change:
    """Add to a row of the report whose choice an operator takes."""
    if change.name not in leaders:
        return change
    leader = leaders[change.name]
    which = f"on the grid of {leader}" if leader else "on a grid of its own, for the code around it cannot be followed"
    return replace(change, after=f"{change.after}, {which}")


def _choosers(module: nn.Module) -> list[APS]:
    return [m for m in module.modules() if isinstance(m, APS)]


class _Flow:
    """Maps followed through a model: the samplings that each has gone through, and which of them are one.

    Parameters
    ----------
    wiring : Wiring
    choosers : mapping
        From the id of a sampling to its name and itself.
    """

    def __init__(self, wiring: Wiring, choosers: Mapping[int, Any]) -> None:
        self.wiring, self.choosers = wiring, choosers
        self.order: list[int] = []
        self.parent: list[int] = []
        self.hidden: list[int] = []

    def root(self, number: int) -> int:
        """The first sampling that has to choose as this one."""
        while self.parent[number] != number:
            number = self.parent[number]
        return number

    def through(self, name: str, given: list[History]) -> History:
        """Follow maps through a module; those that it returns are one."""
        module = self.wiring.model.get_submodule(name)
        own = [aps for aps in _choosers(module) if id(aps) in self.choosers]
        graph = self.wiring.graph(name)
        if graph is not None:
            return self._through_graph(name, graph, given)
        history = self._met(given)
        if len(own) == 1:  # an operator; several in a module without a graph choose for themselves
            number = len(self.order)
            self.order.append(id(own[0]))
            self.parent.append(number)
            history = (*history, number)
        else:
            self.hidden += [id(aps) for aps in own]
        return history

    def _through_graph(self, name: str, graph: fx.Graph, given: list[History]) -> History:
        known: dict[fx.Node, History] = {}
        entries = [node for node in graph.nodes if node.op == "placeholder"]
        known |= dict(zip(entries, given, strict=False))
        for node in graph.nodes:
            inputs = [known[n] for n in node.all_input_nodes if n in known]
            if node.op == "call_module":
                known[node] = self.through(f"{name}.{node.target}".lstrip("."), inputs)
            elif node.op == "output":
                return self._met(inputs)
            elif inputs and node.op != "placeholder":
                known[node] = self._met(inputs)
        return ()

    def _met(self, histories: list[History]) -> History:
        """One history of maps that meet: their samplings become one, each with those at its place."""
        longest = max(histories, key=len, default=())
        for history in histories:
            for a, b in zip(history, longest, strict=False):
                first, second = sorted((self.root(a), self.root(b)))
                self.parent[second] = first
        return longest
