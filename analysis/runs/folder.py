"""Folder of a run: locked while the run writes there, and resumed only by a run with the same settings.

A run keeps what it has done in one file of its folder: a journal that is appended to, or a state that is replaced. That
file says which settings it belongs to.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from analysis.files.atomic import remove_unfinished
from analysis.files.messages import printable

ADVICE = "use --overwrite to begin anew, or another folder"


class RunFolder:
    """Context of a run that writes to a folder and that can be resumed.

    Entering it locks the folder, before anything there is touched, then removes what runs that were killed left
    half-written. An error or an interruption inside it says how to continue.

    Parameters
    ----------
    folder : path
        Folder for the results; it exists.
    name : str
        File in which the run keeps what it has done, such as ``heatmaps.journal`` or ``last.pt``.
    settings : mapping
        Everything that the results depend on, as JSON can hold it.
    results : sequence of str
        Files that the run will write: if there are any, but no kept file, they belong to another run.
    resume : bool
        Insist on a kept file.
    overwrite : bool
        Begin anew, whatever is there. The kept file stays until the new run replaces it.

    Attributes
    ----------
    kept : Path
        The file in which the run keeps what it has done.
    settings : dict
    begins : bool
        Whether there is nothing to go on from: no kept file, or one that is to be overwritten.
    done : str
        Amount that the kept file holds, such as "16 images", for the message of an interruption; "" for nothing.

    Raises
    ------
    ValueError
        On entering, if `resume` and `overwrite` contradict each other or what is there.
    BlockingIOError
        On entering, if another run writes to the folder.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        name: str,
        settings: Mapping[str, Any],
        results: Sequence[str] = (),
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        if resume and overwrite:
            raise ValueError("resume and overwrite contradict each other; expected one of them")
        self.folder = Path(folder)
        self.kept = self.folder / name
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))
        self.results, self.resume, self.overwrite = results, resume, overwrite
        self.done = ""
        self._lock = -1

    @property
    def begins(self) -> bool:
        """True if there is nothing to go on from."""
        return self.overwrite or not self.kept.exists()

    def __enter__(self) -> RunFolder:
        self._lock = _locked(self.folder)
        try:
            remove_unfinished(self.folder)
            if self.kept.exists() or self.overwrite:
                return self
            if self.resume:
                raise ValueError(f"there is nothing to resume in {self.folder}: it has no {self.kept.name}")
            for name in self.results:
                if (self.folder / name).is_file():
                    raise ValueError(f"{self.folder} holds {name} of another run; {ADVICE}")
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._lock)
        if not self.done:
            return
        how = f"{self.done} are kept in {printable(self.kept)}: run the same command again to continue"
        if isinstance(error, KeyboardInterrupt):
            print(f"\nshiftscope: {how}", file=sys.stderr)
        elif isinstance(error, OSError):
            raise OSError(f"{error}; {how}") from error

    def check(self, settings: Mapping[str, Any]) -> None:
        """Refuse to go on from a kept file with these settings, if they differ from those of the run.

        Raises
        ------
        ValueError
            With each difference.
        """
        if settings != self.settings:
            raise self.refusal(f"belongs to other settings: {differences(settings, self.settings)}")

    def refusal(self, reason: str) -> ValueError:
        """Return the error that says why the run cannot go on from its kept file, and what to do."""
        return ValueError(f"{self.kept} {reason}; {ADVICE}")


def differences(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """List in one line the settings that differ, with the value that is there and the one that is wanted."""
    names = dict.fromkeys((*there, *wanted))
    parts = (
        f"{name} is {json.dumps(there.get(name))} there and {json.dumps(wanted.get(name))} here"
        for name in names
        if there.get(name) != wanted.get(name)
    )
    return "; ".join(parts)


def _locked(folder: Path) -> int:
    """Open a folder and lock it; return its descriptor."""
    try:
        import fcntl
    except ImportError:  # Windows: no lock
        return os.open(os.devnull, os.O_RDONLY)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise BlockingIOError(f"another run is writing to {folder}") from None
    except OSError:  # a file system without locks
        pass
    return descriptor
