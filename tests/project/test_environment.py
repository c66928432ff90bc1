"""The frame: two lists of requirements in step, exact pins, and a core that imports no extra."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
CARD = {"numpy", "scipy", "pywavelets", "dtcwt", "matplotlib", "jupyterlab", "torch", "numba"}
CONDA_NAMES = {"pytorch": "torch"}  # conda's name -> the distribution's name


def read(requirements: list[str]) -> dict[str, SpecifierSet]:
    """Requirements by name; what is asked for twice must satisfy both."""
    table: dict[str, SpecifierSet] = {}
    for line in requirements:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        name = CONDA_NAMES.get(name, name)
        table[name] = table.get(name, SpecifierSet()) & requirement.specifier
    return table


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {name: lines for name, lines in PROJECT["optional-dependencies"].items() if name != "all"}
CORE = read(PROJECT["dependencies"])
DECLARED = read(PROJECT["dependencies"] + [line for lines in EXTRAS.values() for line in lines])

CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
PIP = next(entry["pip"] for entry in CONDA["dependencies"] if isinstance(entry, dict))
ENVIRONMENT = read(
    [entry for entry in CONDA["dependencies"] if isinstance(entry, str)]
    + [entry for entry in PIP if not entry.startswith("-e")]
)
PYTHON = ENVIRONMENT.pop("python")
ENVIRONMENT.pop("pip")

PINS = read(
    [
        line.partition("#")[0].strip()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line.partition("#")[0].strip()
    ]
)


def pinned(name: str) -> Version:
    """The one version that constraints.txt allows."""
    (specifier,) = PINS[name]
    assert specifier.operator == "=="
    return Version(specifier.version)


@pytest.mark.parametrize("name", sorted(ENVIRONMENT))
def test_environment_and_pyproject_ask_for_the_same(name: str) -> None:
    assert ENVIRONMENT[name] == DECLARED[name]


def test_environment_is_complete() -> None:
    assert set(ENVIRONMENT) >= CARD
    assert set(ENVIRONMENT) >= set(CORE)


def test_environment_installs_the_project_and_leaves_nothing_more_to_install() -> None:
    (line,) = (entry for entry in PIP if entry.startswith("-e"))
    path, _, extras = line.removeprefix("-e").strip().rstrip("]").partition("[")
    assert path == "."
    for extra in filter(None, extras.split(",")):
        assert set(read(EXTRAS[extra])) <= set(ENVIRONMENT)


def test_python_versions_agree() -> None:
    wanted = SpecifierSet(PROJECT["requires-python"])
    tried = {f"3.{minor}" for minor in range(8, 20)}
    assert {v for v in tried if v in PYTHON} == {"3.11", "3.12"}  # those with wheels of numpy 1
    assert all(v in wanted for v in tried if v in PYTHON)


def test_all_is_every_extra() -> None:
    (line,) = PROJECT["optional-dependencies"]["all"]
    requirement = Requirement(line)
    assert requirement.name == PROJECT["name"]
    assert requirement.extras == set(EXTRAS)


@pytest.mark.parametrize("name", sorted(PINS))
def test_pin_is_exact_and_allowed(name: str) -> None:
    assert pinned(name) in DECLARED[name]


def test_everything_is_pinned_but_numpy() -> None:
    assert set(DECLARED) - set(PINS) == {"numpy"}


PROBE = """
import sys

EXTRAS = {"torch", "torchvision", "dtcwt"}
asked = []

class Refuse:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in EXTRAS:
            asked.append(name)
            raise ImportError(f"{name} is an extra: the core must not import it")

sys.meta_path.insert(0, Refuse)
import wavelets, analysis
found = EXTRAS & {name.partition(".")[0] for name in sys.modules}
sys.exit(f"asked for {asked}, loaded {sorted(found)}" if asked or found else 0)
"""


def test_core_imports_no_extra() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.skipif(os.environ.get("CI") != "true", reason="only CI promises which worlds there are")
def test_this_is_one_of_the_two_worlds():
    has_dtcwt = importlib.util.find_spec("dtcwt") is not None
    assert Version(importlib.metadata.version("numpy")).major == (1 if has_dtcwt else 2)
