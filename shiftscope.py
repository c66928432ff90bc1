"""Shift stability of CNN layers: the public names of `analysis` and `wavelets`, imported when they are first used.

``python -m shiftscope`` is the command line. `import shiftscope` fails, and says which file is in the way, where Python
finds another `analysis` or `wavelets` before ours, such as a script of that name in the current folder.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

__version__ = "0.2.0.dev0"

HERE = Path(__file__).resolve().parent
PACKAGES = ("wavelets", "analysis")


def _require_ours(package: str) -> None:
    """Raise ImportError unless Python finds `package` beside this file; nothing of it is executed."""
    spec = getattr(sys.modules.get(package), "__spec__", None) or importlib.util.find_spec(package)
    if spec is None:
        raise ImportError(f"shiftscope's own package {package!r} is missing from {HERE}")
    # A folder without __init__.py has no origin, only places.
    found = Path(spec.origin) if spec.origin else Path(*list(spec.submodule_search_locations or [])[:1])
    if found.resolve().parent not in (HERE, HERE / package):
        raise ImportError(
            f"{found} is in the way of shiftscope's own package {package!r}: rename it, or start Python elsewhere"
        )


try:
    for package in PACKAGES:
        _require_ours(package)
except ImportError as error:
    if __name__ != "__main__":
        raise
    print(f"shiftscope: error: {error}", file=sys.stderr)
    sys.exit(2)


def _public_names() -> dict[str, ModuleType]:
    """Every public name, and the package that it is from."""
    packages = [importlib.import_module(package) for package in PACKAGES]
    return {name: package for package in packages for name in package.__all__}


def __getattr__(name: str) -> Any:
    names = _public_names()
    if name == "__all__":
        return sorted(names)
    if name not in names:
        raise AttributeError(f"module 'shiftscope' has no attribute {name!r}")
    return getattr(names[name], name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_public_names()})


def main() -> None:
    """Run the command line with the arguments of this process."""
    from analysis.commands.app import main as run

    run()


if __name__ == "__main__":
    main()
