"""The one policy of compilation: the flags, and a cache that is never in the way.

Compiled code is kept where numba keeps it: beside the source, in the user's cache folder, or in NUMBA_CACHE_DIR. Where
none of these can be written, functions are compiled anew in every process, with one warning; a damaged file is compiled
anew and written again.
"""

from __future__ import annotations

import gc
import hashlib
import pickle
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite
import numba
import numpy as np
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.extending import overload

F = TypeVar("F", bound=Callable[..., Any])

FLAGS = {"contract", "reassoc", "arcp", "nsz"}  # not-a-number stays what it is (no ``nnan``, no ``ninf``)

_warned = False


def jit(function: F) -> F:
    """Compile a function that Python calls, with the project's one set of flags."""
    options: Any = {"nogil": True, "fastmath": FLAGS, "no_cfunc_wrapper": True}
    compiled: Any = numba.njit(**options)(function)
    if compiled is not function:  # as it is with numba's jit off
        compiled.compile = _without_collector(compiled.compile)
        try:
            compiled._cache = _Cache(function)
        except (RuntimeError, OSError) as error:  # no folder to write to
            _warn_once(str(error))
    return cast(F, compiled)


def jit_part(function: F) -> F:
    """Let compiled functions call this one, as a part of their code. Python calls what is written."""
    return _part(function, Part)


def jit_disjoint(function: F) -> F:
    """As `jit_part`, and inline; none of the arrays overlap where one is written and read."""
    return _part(function, Disjoint, forceinline=True)


def _part(function: F, pipeline: type[Compiler], **options: Any) -> F:
    chosen: Any = options | {"fastmath": FLAGS, "no_cfunc_wrapper": True, "pipeline_class": pipeline}
    overload(function, jit_options=chosen, strict=False)(lambda *arguments: function)
    return function


class _Unfinished(JITCodeLibrary):
    """Code as it was written: what calls it is optimised and translated as a whole, instead of each function again."""

    def _optimize_final_module(self) -> None:
        """Leave it to the caller."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()  # type: ignore[no-untyped-call]
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """There is none, as for all that has no wrapper for Python."""
        self._ensure_finalized()  # type: ignore[no-untyped-call]
        return 0

    @property
    def codegen(self) -> _Unfinished:
        """Stands for the compiler where numba wants to tell machine code its environment."""
        return self

    def set_env(self, name: str, env: object) -> None:
        """Ignore what only calls from Python need."""


class Part(Compiler):
    """Compile a function as far as its callers need it."""

    def define_pipelines(self) -> Any:
        """Put the code where it is left unfinished."""
        name = self.state.func_id.func_qualname
        unfinished = _Unfinished(self.state.targetctx.codegen(), name)  # type: ignore[no-untyped-call]
        unfinished.enable_object_caching()  # type: ignore[no-untyped-call]
        self.state["library"] = unfinished
        return super().define_pipelines()  # type: ignore[no-untyped-call]


class Disjoint(Compiler):
    """Compile a function none of whose arrays overlap: no checks of that before each of its loops."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)  # type: ignore[no-untyped-call]
        self.state.flags.noalias = True


def _without_collector(compile: F) -> F:
    """Compile while the garbage collector rests, which would take a tenth of the time and find next to nothing."""

    def resting(*arguments: Any) -> Any:
        enabled = gc.isenabled()
        gc.disable()
        try:
            return compile(*arguments)
        finally:
            if enabled:
                gc.enable()

    return cast(F, resting)


def by_type(choose: F) -> F:
    """Make a function that stands for the one that `choose` returns for the arguments, or for their numba types.

    A recursion over the length of a tuple is unrolled by it, and its numbers stay in registers.
    """

    def call(*arguments: Any) -> Any:  # with numba's jit off
        return choose(*arguments)(*arguments)

    options: Any = {"fastmath": FLAGS, "forceinline": True, "no_cfunc_wrapper": True, "pipeline_class": Part}
    overload(call, jit_options=options, strict=False)(choose)
    return cast(F, call)


def _warn_once(reason: str) -> None:
    global _warned
    if _warned:
        return
    _warned = True
    warnings.warn(
        f"compiled code cannot be kept ({reason}): every process compiles its own, which takes some seconds. "
        "Let the environment variable NUMBA_CACHE_DIR name a folder that can be written to",
        RuntimeWarning,
        stacklevel=2,
    )


class _Files(IndexDataCacheFile):
    """Files of the cache of one function; machine code is stored with its digest, for damage to it ends a process."""

    def save(self, key: Any, data: Any) -> None:
        content = self._dump((key, data))  # type: ignore[no-untyped-call]
        super().save(key, (hashlib.sha256(content).digest(), content))  # type: ignore[no-untyped-call]

    def load(self, key: Any) -> Any:
        found = super().load(key)  # type: ignore[no-untyped-call]
        if found is None:
            return None
        digest, content = found
        if hashlib.sha256(content).digest() != digest:
            raise ValueError("damaged")
        stored, data = pickle.loads(content)
        if stored != key:
            raise ValueError("of another function")
        return data


class _Cache(FunctionCache):
    """Cache of one function: what cannot be read is compiled, what cannot be written is not kept."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        stamp = self._impl.locator.get_source_stamp()
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, stamp)  # type: ignore[no-untyped-call]

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(signature, target_context)  # type: ignore[no-untyped-call]
        except Exception:  # a damaged file raises anything
            self._attempt(self.flush)
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        self._attempt(super().save_overload, signature, data)

    def _attempt(self, write: Callable[..., object], *arguments: Any) -> None:
        try:
            write(*arguments)
        except OSError as error:
            self.disable()  # type: ignore[no-untyped-call]
            _warn_once(str(error))

    def _index_key(self, signature: Any, codegen: Any) -> Any:
        return (*super()._index_key(signature, codegen), _sources(self._py_func.__code__.co_filename))  # type: ignore[no-untyped-call]


@lru_cache
def _sources(file: str) -> str:
    """Digest of what code is made of that numba does not notice, or goes by the time of a file.

    That is the file itself; the flags above, the loops that others are built on, and the constants that are in the
    code, all of which stand beside this file; and the versions of the packages whose arrays and instructions the code
    knows. So compiled functions take what they use from here or from their own file, and from nowhere else.
    """
    versions = f"numba {numba.__version__}, llvmlite {llvmlite.__version__}, numpy {np.__version__}"
    files = [*sorted(Path(__file__).parent.glob("*.py")), Path(file)]
    return hashlib.sha256(b"".join([versions.encode(), *(path.read_bytes() for path in files)])).hexdigest()
