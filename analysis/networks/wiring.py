"""The calls inside every module of a network, by torch.fx one level at a time; followed, changed and put back."""

from __future__ import annotations

import inspect
import operator
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from torch import fx, nn

from analysis.networks.activations import NORMALISATIONS
from analysis.networks.patch_merging import merges

HOLDERS = (nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Step:
    """A call that takes what the step before gave: of a module, or of a function, where `module` is None.

    Attributes
    ----------
    scope : str
        Module whose forward makes the call.
    node : fx.Node
        In the graph of that module.
    name : str
        Of the module that is called, from the root; or of the function.
    module : Module or None
    """

    scope: str
    node: fx.Node
    name: str
    module: nn.Module | None


class Wiring:
    """The graphs of a model's modules, each with its children as single calls.

    A module has no graph if torch.fx cannot trace its forward, or if that has optional arguments, whose absence a graph
    could not see. One whose forward does something else in training, as networks with auxiliary heads, is followed as
    it is in evaluation, and not changed. What lies in other modules is followed and changed all the same.

    Parameters
    ----------
    model : Module
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._graphs: dict[str, tuple[fx.Graph | None, bool]] = {}
        self._changed: set[str] = set()

    def graph(self, scope: str) -> fx.Graph | None:
        """Graph of a module by name, or None."""
        if scope not in self._graphs:
            self._graphs[scope] = _one_level(self.model.get_submodule(scope))
        return self._graphs[scope][0]

    def can_change(self, scope: str) -> bool:
        """Tell if a module has a graph that is the same in training and in evaluation."""
        return self.graph(scope) is not None and self._graphs[scope][1]

    def scopes(self) -> Iterator[tuple[str, fx.Graph]]:
        """Names and graphs of all modules that can be changed."""
        for name, _ in list(self.model.named_modules()):
            graph = self.graph(name)
            if graph is not None and self.can_change(name):
                yield name, graph

    def call_of(self, name: str) -> tuple[str, fx.Node] | None:
        """Scope and node of the only call of a module; None if it is called more than once or out of sight."""
        parts = name.split(".")
        for depth in reversed(range(len(parts))):
            scope, inner = ".".join(parts[:depth]), ".".join(parts[depth:])
            graph = self.graph(scope)
            if graph is None:
                if _only_holds(self.model.get_submodule(scope)):
                    continue
                return None
            calls = [node for node in graph.nodes if node.op == "call_module" and node.target == inner]
            if calls:
                return (scope, calls[0]) if len(calls) == 1 else None
        return None

    def after(self, name: str) -> Iterator[Step]:
        """Steps behind a module, in and out of other modules, as long as one alone takes what the last one gave."""
        found = self.call_of(name)
        while found is not None:
            scope, node = found
            if len(node.users) != 1:
                return
            (user,) = node.users
            if user.op == "output":
                found = self.call_of(scope) if scope and user.args[0] is node else None
                continue
            if len([n for n in user.all_input_nodes if n.op != "get_attr"]) != 1:
                return
            if user.op != "call_module":
                yield Step(scope, user, str(getattr(user.target, "__name__", user.target)), None)
                found = scope, user
                continue
            inner = f"{scope}.{user.target}".lstrip(".")
            graph = self.graph(inner)
            if graph is not None:
                entries = [n for n in graph.nodes if n.op == "placeholder"]
                found = (inner, entries[0]) if len(entries) == 1 and self.call_of(inner) else None
            else:
                yield Step(scope, user, inner, self.model.get_submodule(inner))
                found = scope, user

    def insert(self, scope: str, node: fx.Node, new: nn.Module, name: str, *, instead: bool = False) -> None:
        """Let a new module take what a call gives, before anybody else does; or stand instead of the call.

        Parameters
        ----------
        scope, node
            The call.
        new : Module
        name : str
            Of the child that it becomes, if there is none of this name.
        instead : bool
            Give the module the first argument of the call, or the map of which that holds slices, and make the call not
            any more.
        """
        graph = node.graph
        parent = self.model.get_submodule(scope)
        child = name.replace(".", "_").replace("/", "_")
        while hasattr(parent, child):
            child += "_"
        parent.add_module(child, new)
        given: Any = node.args[0] if instead else node
        if isinstance(given, (list, tuple)):
            given = given[0].args[0]
        with graph.inserting_after(node):
            call = graph.call_module(child, (given,))
        node.replace_all_uses_with(call, delete_user_cb=lambda user: user is not call)
        if instead:
            inputs = node.all_input_nodes
            graph.erase_node(node)
            for unused in inputs:  # slices that were merged
                if unused.target is operator.getitem and not unused.users:
                    graph.erase_node(unused)
        self._changed.add(scope)

    def finish(self) -> None:
        """Let the modules compute what their graphs say.

        Their classes stay the bases of those they now have; a torch.fx.GraphModule keeps its class, which has a graph.
        """
        for scope in sorted(self._changed):
            graph = self.graph(scope)
            assert graph is not None  # only nodes of graphs can have been changed
            module = self.model.get_submodule(scope)
            if isinstance(module, fx.GraphModule):  # whose copies are made of its graph, not of its class
                module.graph = graph
                continue
            code = graph.python_code("self")
            namespace = dict(code.globals)
            exec(compile(code.src, f"<{scope or 'network'}, rewired>", "exec"), namespace)
            base = type(module)
            module.__class__ = type(base.__name__, (base,), {"forward": namespace["forward"]})
        self._changed.clear()


class _OneLevel(fx.Tracer):
    """Tracer to which every child is a single call."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def _one_level(module: nn.Module) -> tuple[fx.Graph | None, bool]:
    """Graph of a module's own forward in evaluation, or None; and whether it is the same in training.

    Normalisations are taken as they are, also those with an activation inside.
    """
    kind = type(module)
    known = kind.__module__.startswith("torch.nn.") and not isinstance(module, nn.Sequential)
    operator = kind.__module__.startswith("analysis.networks.pooling.")
    if known or operator or isinstance(module, NORMALISATIONS) or _only_holds(module) or _has_options(module):
        return None, False
    on, off = (_traced(module, training) for training in (True, False))
    if off is None:
        return None, False
    if on is not None:
        _follow_mode(on, off)
    same = str(on) == str(off)
    return _with_mergings(off), same


def _traced(module: nn.Module, training: bool) -> fx.Graph | None:
    """Graph of a module in one of the two modes; None if torch.fx cannot trace it."""
    before = module.training
    try:
        module.training = training
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the model's own code, on a proxy
            return _OneLevel().trace(module)
    except Exception:  # whatever the model's own code raises when it is given a proxy
        return None
    finally:
        module.training = before


def _only_holds(module: nn.Module) -> bool:
    """Tell if a module has others inside and no code: a list, or the path to a layer of a torch.fx.GraphModule."""
    return isinstance(module, HOLDERS) or type(module) is nn.Module


def _follow_mode(on: fx.Graph, off: fx.Graph) -> None:
    """Let both graphs ask for the module's mode where it was written into them, as by ``training=self.training``."""
    for here, there in zip(list(on.nodes), list(off.nodes), strict=False):
        if here.op != "call_function" or here.target is not there.target or len(here.args) != len(there.args):
            continue
        given: list[tuple[Any, Any]] = [*enumerate(here.args), *here.kwargs.items()]
        for key, value in given:
            other = there.args[key] if isinstance(key, int) else there.kwargs.get(key)
            if value is True and other is False:
                for graph, node in ((on, here), (off, there)):
                    with graph.inserting_before(node):
                        mode = graph.get_attr("training")
                    if isinstance(key, int):
                        node.update_arg(key, mode)
                    else:
                        node.update_kwarg(key, mode)


def _with_mergings(graph: fx.Graph) -> fx.Graph:
    """Graph in which functions of the model's own code that merge patches stand as the calls they make."""
    for node in list(graph.nodes):
        home = getattr(node.target, "__module__", "").partition(".")[0]
        plain = not node.kwargs and all(isinstance(given, fx.Node) for given in node.args)
        if not isinstance(node.target, FunctionType) or home == "torch" or not plain:
            continue
        try:
            inner = fx.Tracer().trace(node.target)
        except Exception:  # whatever the function raises when it is given a proxy
            continue
        if any(True for _ in merges(inner)):
            entries = [entry for entry in inner.nodes if entry.op == "placeholder"]
            with graph.inserting_before(node):
                result: Any = graph.graph_copy(inner, dict(zip(entries, node.args, strict=True)))
            node.replace_all_uses_with(result)
            graph.erase_node(node)
    return graph


def _has_options(module: nn.Module) -> bool:
    """Tell if a forward has arguments that need not be given."""
    plain = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = inspect.signature(module.forward).parameters.values()
    return any(p.kind is not plain or p.default is not p.empty for p in parameters)


def name_of(target: Any) -> str:
    """Plain name of a function or a method: relu, relu_ and torch.nn.functional.relu are one."""
    return str(getattr(target, "__name__", target)).rpartition(".")[2]
