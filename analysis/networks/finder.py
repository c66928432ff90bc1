"""The watch that finds where a network loses resolution, by known calls and by the positions of samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import get_unwrapped, is_batchedtensor

from analysis.networks import grids
from analysis.networks.grids import NOWHERE, Spacing, fall, measured
from analysis.networks.records import Records, set_total, total_of
from analysis.networks.resolution import ENLARGE, FALL_OF_RESIZING, NCHW, Call, read_call
from analysis.networks.watch import OPAQUE, Event, Frame, Key, first_of, numeric, tensors

OPERATORS = "analysis.networks.pooling."
"""Home of operators that are one place, if no known call in them is."""

FROM_ARRAYS = ("as_tensor", "asarray", "tensor", "from_numpy", "from_dlpack")
"""Functions that bring maps from elsewhere, whose results are no constants."""

RESHAPES = frozenset(
    "reshape view flatten unflatten permute transpose movedim moveaxis contiguous cat concat stack".split()
)
JOINS = frozenset(("cat", "concat", "concatenate", "stack"))
BY_INDEX = frozenset(("gather", "index_select", "take_along_dim", "masked_select"))
CHOICES = BY_INDEX | frozenset(("__getitem__", "select", "unbind", "chunk", "split"))
"""Functions that take some samples and leave others."""

RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")
"""Functions that give each sample of a sequence its own."""

GLOBAL = ("mean", "amax", "max", "sum", "adaptive_avg_pool1d", "adaptive_max_pool1d", "avg_pool1d", "max_pool1d")
"""Functions that can leave one value of all tokens, which is a global pooling if their axis goes with them."""


class Finder(Records):
    """Watch that finds the calls that lose resolution, and keeps them as :class:`Records` does, of the same arguments.

    Attributes
    ----------
    unseen : Key or None
        First call inside of torch.vmap, where calls are not as they seem, on maps that have not come out as such.
    """

    def __init__(self, model: nn.Module, x: Tensor) -> None:
        super().__init__(model, x)
        self.unseen: Key | None = None
        self._constants = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
        self._traced = any(isinstance(module, torch.jit.ScriptModule) for module in model.modules())
        self._last = x
        set_total(x, (1.0, 1.0))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Context in which runs of the model are watched, and positions followed."""
        with self.positions, super().watching():
            yield

    def before(self, key: Key, args: Sequence[Any]) -> Sequence[Any]:
        """Meet maps among the arguments that no function of torch has made, as from NumPy."""
        if any(is_batchedtensor(item) and self.positions.of(get_unwrapped(item)) for item in tensors(args)):
            self.unseen = self.unseen or key
            return args
        if self.hidden():
            return args
        for item in tensors(args):
            if hasattr(item, "_unread") and key[1] != "__setitem__":
                self._read(item)
                number = next((n for n, given in enumerate(args) if given is item), None)
                if number is not None and self._joined("stack", item, total_of(item)):
                    self._judge(key, "", item, total_of(item), number, shrunk=True)
        for number, item in enumerate(args):
            if not isinstance(item, Tensor) or item.ndim != 4 or hasattr(item, "_total_stride"):
                continue
            if key[1] == "grid_sample" and number:
                continue  # points, no maps
            if self._fixed(item) or len(item) != self.positions.batch or not numeric(item):
                continue
            self.unseen = None  # maps that come out again
            self._judge(key, "", item, total_of(self._last), number, shrunk=True)
        return args

    def after(self, key: Key, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> Any:
        """Note the place that a call is, and how far apart the samples are that it gave."""
        given = [t for t in tensors((*args, *kwargs.values())) if hasattr(t, "_total_stride") or self.positions.of(t)]
        output, name = first_of(result), key[1]
        made = name.startswith("new_") or name.endswith("_like")
        if not given or output is None or made:
            constant = made or all(map(self._fixed, tensors(args)))
            if isinstance(result, Tensor) and name not in FROM_ARRAYS and constant:
                self.positions.forget(result)
                result._constant = True  # type: ignore[attr-defined]
            return result
        if name == "affine_grid":  # points, no maps
            set_total(output, total_of(given[0]))
            return result
        for item in given:
            if not hasattr(item, "_total_stride"):  # samples that were written into something new
                set_total(item, total_of(self._last))
        if name.endswith("_") and hasattr(given[0], "_noted"):  # as views that are written into, nothing is lost
            self._withdraw(given[0])
        total = self._total(given, output)
        if name.startswith(ENLARGE) and args[0].ndim == output.ndim == 4:
            down, right = (min(1, args[0].shape[axis] / output.shape[axis]) for axis in NCHW)
            total = (total[0] * down, total[1] * right)
        if not self.hidden():
            with self.unwatched():
                total = self._seen(key, func, args, kwargs, result, output, total)
                total = self._put_back(output, total) if name in RESHAPES else total
                total = total if "pad" in name else self._enlarged(args, output, total)
        for item in tensors([result]):
            if not isinstance(item, nn.Parameter):
                set_total(item, total)
        if output.ndim == 4 and self.positions.of(output):
            self._last = output
        return result

    def written(self, args: Sequence[Any]) -> None:
        """Note that samples were written into a tensor; how far apart these are is told when it is read."""
        whole, part = args[0], args[2]
        if not isinstance(part, Tensor) or not hasattr(part, "_total_stride") or not isinstance(whole, Tensor):
            return
        if hasattr(part, "_noted") and part._base is not None:
            self._withdraw(part)
        if not hasattr(whole, "_total_stride"):
            set_total(whole, total_of(part))
        whole._unread = True  # type: ignore[attr-defined]

    def _read(self, whole: Tensor) -> None:
        """Note how far apart the samples are of what was written into."""
        del whole._unread  # type: ignore[attr-defined]
        with self.unwatched():
            set_total(whole, self._enlarged((), whole, self._put_back(whole, total_of(whole))))

    def _put_back(self, output: Tensor, total: Spacing) -> Spacing:
        """Total stride after samples that were apart are one grid again; that they were is no place then."""
        while apart := [
            one for one in self.found if one.facts["total_stride"] == total and one.facts["function"] in CHOICES | JOINS
        ]:
            where = self.positions.finest(output)
            if where is None or fall(total, measured(where)[0]) is None:
                break
            whole = grids.layout(where, self.positions.batch)
            if whole is None or len(whole.axes) > output.ndim - 2 or len(whole.shape) > 4:
                break  # side by side as channels, or not together yet
            self.found = [one for one in self.found if one not in apart]
            self._sliced = None
            down, right = apart[0].facts["stride"]
            total = (total[0] / down, total[1] / right)
        return total

    def _fixed(self, tensor: Tensor) -> bool:
        """Tell if a tensor is a weight, a buffer, or made of nothing but such."""
        return id(tensor) in self._constants or hasattr(tensor, "_constant")

    def _total(self, given: Sequence[Tensor], output: Tensor) -> Spacing:
        """Total stride of what a call was given, of maps only: what was mixed over the picture tells nothing."""
        given = [item for item in given if numeric(item)] or given
        if (
            len({total_of(item) for item in given}) > 1
        ):  # class tokens, and what was mixed over the picture, tell nothing
            given = [item for item in given if self._spacing(item) != NOWHERE] or given
        if len({total_of(item) for item in given}) > 1:  # another tensor may give its type, or its size, only
            apart = self._spacing(output)
            near = [item for item in given if fall(apart, total_of(item)) is None]
            given = near or given
        return min(total_of(item)[0] for item in given), min(total_of(item)[1] for item in given)

    def _withdraw(self, view: Tensor) -> None:
        """Forget the place that a view is, since the whole goes on with what is written into it."""
        if view._noted in self.found:  # type: ignore[attr-defined]
            self.found.remove(view._noted)  # type: ignore[attr-defined]
            self._sliced = None

    def _enlarged(self, args: Sequence[Any], output: Tensor, total: Spacing) -> Spacing:
        """Total stride after maps were enlarged by the network's own code, the new samples of which get positions."""
        if output.ndim != 4 or not numeric(output):
            return total
        source = args[0].shape if args and isinstance(args[0], Tensor) else ()
        grown = len(source) != 4 or any(n > m for n, m in zip(output.shape, source, strict=True))
        where = self.positions.finest(output) if grown else None
        found = None if where is None else grids.enlarged(where)
        if found is None:
            return total
        self.positions.put(output, [found[0]] * len(self.positions.of(output)))
        return total[0] / found[1][0], total[1] / found[1][1]

    def _seen(
        self, key: Key, func: Any, args: Any, kwargs: Any, result: Any, output: Tensor, total: Spacing
    ) -> Spacing:
        """Total stride after a call."""
        attended, self.positions.attended = self.positions.attended, False
        lined, self.positions.lined = self.positions.lined, None
        skewed, self.positions.skewed = self.positions.skewed, False
        call = read_call(func, args, kwargs, result)
        if call is not None and not call.fault and not self._of_whole(call.source):
            call = None  # all of a piece of the picture
        if key[1] in RECURRENT:
            self.positions.follow_sequence(args[0], output)
        if attended or key[1] in RECURRENT:  # whichever samples the others were weighed for are left, perhaps fewer
            return self._as_far(output, total)
        if call is not None and (not call.fault or self._loses(call, total)):
            self.positions.mixed = None
            return self._note_call(key, call, total)
        if call is not None and not call.kind.endswith(("convolution", "embedding", "slicing")):
            return self._as_far(output, total)  # a known call that loses a little
        if self.stack and self.stack[-1].home.startswith(OPERATORS):
            return total
        source = args[0] if args and isinstance(args[0], Tensor) else None
        gathers = key[1] in GLOBAL and source is not None and output.ndim < source.ndim
        gathers |= key[1] == "topk" and output.ndim > 2  # of maps, not of one score for each token
        if self.positions.mixed is not None and source is not None and gathers:
            self._note_gathered(key, source, output, total)
        if lined is not None:
            return self._note_line(key, output, total, lined)
        fewer = self._joined(key[1], output, total) or (source is not None and output.numel() < source.numel())
        several = sum(item._base is not None for item in tensors([result])) > 1 and not isinstance(result, Tensor)
        if key[1] == "grid_sample":  # at points that are others in each picture
            skewed |= hasattr(args[1] if len(args) > 1 else kwargs.get("grid"), "_total_stride")
        whole = self._judge(key, key[1], output, total, shrunk=fewer, several=several or skewed)
        by_index = key[1] in BY_INDEX or (key[1] == "__getitem__" and next(tensors(args[1:]), None) is not None)
        if fewer and by_index and whole == total:
            self._note_choice(key, output, total)
        return whole

    def left(self, key: Key, frame: Frame, output: Tensor) -> Tensor | None:
        """Note the place that a module is, if no call inside is: as when its code is not torch's."""
        if frame.source is None or not hasattr(frame.source, "_total_stride"):
            return None
        if not hasattr(output, "_total_stride"):
            set_total(output, total_of(self._last))
            self.unseen = None if output.ndim == 4 else self.unseen
        if not frame.name and output.ndim == 3:
            self._judge_patches(key, output)
        if frame.home == OPAQUE:
            self._note_operator(key, frame.source, output)
        elif frame.home.startswith(OPERATORS):
            self._judge(key, "", output, total_of(output), shrunk=True)
        elif self.positions.mixed is not None or not self.positions.of(output):
            self._judge(key, "", output, total_of(output))
        return None

    def _judge_patches(self, key: Key, output: Tensor) -> None:
        """Note patches in the channels of what a network gives, as overlapping ones that nothing has mixed."""
        where = self.positions.finest(output)
        coarse = None if where is None else grids.mixed_patches(where)
        if coarse is not None:
            self.positions.put(output, [coarse] * len(self.positions.of(output)))
            self._judge(key, "", output, total_of(output), shrunk=True)

    def _loses(self, call: Call, total: Spacing) -> bool:
        """Tell if a known call loses resolution, and not only a border."""
        if max(call.stride) <= 1 or call.size_in == call.size_out:
            return False
        if call.kind in ("interpolation", "adaptive pooling", "fractional pooling"):
            return max(call.stride) >= FALL_OF_RESIZING
        if call.kind != "slicing":
            return True
        if not self.positions.of(call.output):
            return min(call.stride) > 1
        return fall(self._spacing(call.output), total) is not None

    def _as_far(self, output: Tensor, total: Spacing) -> Spacing:
        """Total stride that is at least the distance of samples."""
        self.positions.mixed = None
        down, right = (max(t, s) if math.isfinite(s) else t for t, s in zip(total, self._spacing(output), strict=True))
        return down, right

    def _joined(self, function: str, output: Tensor, total: Spacing) -> bool:
        """Tell if pieces of maps have become a smaller map of the picture."""
        where = self.positions.finest(output) if function in JOINS and numeric(output) else None
        if where is None or min((found := measured(where))[1]) < 2:
            return False
        return fall(found[0], total) is not None and all(self.positions.covered(where))

    def _judge(
        self,
        key: Key,
        function: str,
        output: Tensor,
        total: Spacing,
        argument: int | None = None,
        shrunk: bool = False,
        several: bool = False,
    ) -> Spacing:
        """Note a fall of the resolution to some maps, if there is one; return their total stride."""
        mixed, self.positions.mixed = self.positions.mixed, None
        where = self.positions.finest(output)
        if not numeric(output) or not output.numel() or (output.is_complex() and where is None):  # as a spectrum
            return total
        if where is None or (argument is not None and self._traced):  # calls inside are not seen as such
            spacing = self.positions.assume(output, total, self._last)
        elif shrunk or (mixed is not None and fall(mixed, total) is not None):
            spacing = measured(where)[0]
        else:
            joined = self.noted(total, JOINS)
            down, right = joined[0].facts["stride"] if joined else (1.0, 1.0)  # rows by index, side by side as channels
            finer = (total[0] / down, total[1] / right)
            merged = grids.cells(where, finer) if function in RESHAPES and output.ndim == 4 else None
            if merged is None:
                return total
            self.found = [one for one in self.found if one not in joined]
            return self._note_cells(key, output, finer, merged)
        stride = fall(spacing, total)
        if stride is None:
            return total
        return self._note_fall(Event(key, argument), function, output, total, stride, not several)
