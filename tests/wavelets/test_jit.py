"""The cache of compiled code is never in the way: folders that cannot be written to, damaged files, full disks."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

import wavelets

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="needs numba's jit")

SUM = """
import sys
import numpy as np
from wavelets.engine.jit import jit

@jit
def total(x):
    s = x.dtype.type(0)
    for i in range(x.size):
        s += x[i]
    return s
"""

CALL = """
from small import total
import numpy as np
assert total(np.arange(4.0)) == 6
print(sum(total.stats.cache_hits.values()), sum(total.stats.cache_misses.values()))
"""


@pytest.fixture
def folder(tmp_path):
    """A copy of the package, which a test may spoil, and a module with one small loop."""
    package = tmp_path / "site" / "wavelets"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(wavelets.__file__).parent, package, ignore=ignore)
    (tmp_path / "site" / "small.py").write_text(SUM)
    (tmp_path / "cache").mkdir()
    return tmp_path


def run(folder, code=CALL, **environment):
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")},
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_CACHE_DIR": str(folder / "cache"),
        **environment,
    }
    command = [sys.executable, "-W", "always", "-c", code]
    result = subprocess.run(command, cwd=folder / "site", env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout.split(), result.stderr


def spoil_folders(folder):
    """Leave no folder for numba: files stand where folders should, which stops even root."""
    for place in ("site", "site/wavelets", "site/wavelets/engine"):
        (folder / place / "__pycache__").write_text("")
    (folder / "file").write_text("")
    return {name: str(folder / "file") for name in ("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")}


@pytest.mark.parametrize("code", [CALL, "import wavelets.engine.loops"], ids=["one loop", "all loops of transforms"])
def test_without_a_folder_code_is_compiled_with_one_warning(folder, code):
    _, errors = run(folder, code, **spoil_folders(folder))
    assert errors.count("RuntimeWarning") == 1 and "NUMBA_CACHE_DIR" in errors


def test_a_cache_is_used_without_a_word(folder):
    assert run(folder) == (["0", "1"], "")
    assert run(folder) == (["1", "0"], "")


SPOIL = """
import importlib
from pathlib import Path
import numpy as np
import small

def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]

DAMAGED = {
    "empty": lambda content: b"",
    "halved": lambda content: content[: len(content) // 2],
    "noise": lambda content: bytes(range(256)) * 4,
    "a byte near the end": lambda content: flipped(content, len(content) - 200),
    "a byte of the machine code": lambda content: flipped(content, len(content) // 2),
}

def called():
    importlib.reload(small)  # a new function, which looks into the files
    assert small.total(np.arange(4.0)) == 6
    return sum(small.total.stats.cache_hits.values()), sum(small.total.stats.cache_misses.values())

assert called() == (0, 1)
for suffix in ("nbi", "nbc"):
    for kind, damage in DAMAGED.items():
        (path,) = Path(small.total._cache.cache_path).glob(f"small.total*.{suffix}")
        path.write_bytes(damage(path.read_bytes()))
        assert called() == (0, 1), (suffix, kind)
        assert called() == (1, 0), (suffix, kind)
        print(suffix)
"""


def test_damaged_files_are_compiled_and_written_again(folder):
    printed, errors = run(folder, SPOIL)
    assert printed == 5 * ["nbi"] + 5 * ["nbc"] and errors == ""
    assert run(folder) == (["1", "0"], "")


def test_a_folder_that_goes_away_costs_a_warning(folder):
    # After the import the folder is a file: as a full disk, it is noticed when the first function is compiled.
    spoil = """
import shutil, sys, pathlib
import small
cache = pathlib.Path(small.total._cache.cache_path)
shutil.rmtree(cache)
cache.write_text("")
"""
    result, errors = run(folder, spoil + CALL)
    assert result == ["0", "1"] and errors.count("RuntimeWarning") == 1


@pytest.mark.parametrize("name", ["jit.py", "loops.py", "plan.py"])  # parts and constants of loops in other modules
def test_code_compiled_with_other_flags_or_parts_is_other_code(folder, name):
    run(folder)
    source = folder / "site" / "wavelets" / "engine" / name
    source.write_text(source.read_text() + "\n# another version\n")
    assert run(folder) == (["0", "1"], "")


def test_compiled_code_is_made_of_what_its_cache_knows():
    own = Path(wavelets.__file__).parent.parent
    files = [path for room in ("wavelets", "analysis") for path in (own / room).rglob("*.py")]
    loops = {path: imports for path in files if "wavelets.engine.jit" in (imports := imported(path))}
    assert len(loops) >= 6
    for path, imports in loops.items():
        others = {name for name in imports if name.split(".")[0] in ("wavelets", "analysis")}
        assert all(name.startswith("wavelets.engine.") for name in others), (path, others)


def imported(path):
    """Modules that a file imports from."""
    return {node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)}


def test_an_upgrade_that_leaves_size_and_time_of_the_files_is_noticed(folder):
    run(folder)
    loop = folder / "site" / "small.py"
    times = loop.stat().st_atime_ns, loop.stat().st_mtime_ns
    loop.write_text(SUM.replace("type(0)", "type(9)"))
    os.utime(loop, ns=times)
    assert run(folder, CALL.replace("== 6", "== 15")) == (["0", "1"], "")
    another_numpy = "import numba, scipy.fft, numpy; numpy.__version__ = '99.0'\n"
    assert run(folder, another_numpy + CALL.replace("== 6", "== 15")) == (["0", "1"], "")


def test_the_garbage_collector_is_left_as_it_was(folder):
    code = "import gc\n{0}\n" + CALL + "print(gc.isenabled())"
    assert run(folder, code.format("gc.enable()"))[0] == ["0", "1", "True"]
    shutil.rmtree(folder / "cache")
    assert run(folder, code.format("gc.disable()"))[0] == ["0", "1", "False"]
