"""What README and the other documents say: Python blocks run, commands and options exist, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "howto").glob("*.md")]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *PAGES, *(ROOT / "results").glob("*.md")])
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in DOCUMENTS}


def block_with(text):
    """The block of Python that holds a text; documents that show it show the same."""
    blocks = [block for page in TEXTS.values() for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL)]
    (block,) = {block for block in blocks if text in block}
    return block


def command_lines():
    """Every call of ``shiftscope COMMAND`` in a code block or between backticks, as words."""
    for name, text in TEXTS.items():
        blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        inline = re.findall(r"`([^`\n]+)`", text)
        for line in [line for block in blocks for line in block.splitlines()] + inline:
            words = shlex.split(line, comments=True) if "shiftscope " in line else []
            if words and words[0].endswith("shiftscope") and len(words) > 1:
                yield name, words[1:]


def test_commands_and_options_exist(shiftscope, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    helps, found = {}, list(command_lines())
    assert {words[0] for _, words in found} >= {"heatmaps", "kernels", "verify", "compare", "stability", "train"}
    for document, (command, *words) in found:
        if command not in helps:
            code, helps[command], _ = shiftscope(command, "--help")
            assert code == 0, (document, command)
        known = set(re.findall(r"--[a-z][a-z-]*", helps[command]))
        options = {word.partition("=")[0] for word in words if re.match("--[a-z]", word)}
        assert options <= known, (document, command, options - known)


def test_modules_and_targets_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    for name, text in [*TEXTS.items(), ("workflow", workflow)]:
        for module in re.findall(r"python3? -m ([a-z_.]+)", text):
            assert importlib.util.find_spec(module), (name, module)
        for target in re.findall(r"(?:^|`|- run: )make ([a-z]+)", text, re.MULTILINE):
            assert target in targets, (name, target)


@pytest.mark.parametrize("name", TEXTS)
def test_links_and_paths_lead_somewhere(name):
    folder = (ROOT / name).parent
    for target in re.findall(r"\]\(([^)#\s]+)", TEXTS[name]):
        assert re.match("https?://", target) or (folder / target).exists(), target
    rooms = "analysis|wavelets|tests|docs|scripts|benchmarks|fuzz|notebooks"
    for path in re.findall(rf"`((?:{rooms})/[A-Za-z0-9_./]*)`", TEXTS[name]):
        assert (ROOT / path).exists(), path


def test_every_room_is_in_contributing():
    packages = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("analysis/*/__init__.py")}
    assert packages
    for package in packages | {"wavelets", "wavelets/engine"}:
        assert f"`{package}/`" in TEXTS["CONTRIBUTING.md"], package


def test_the_workflow_calls_both_targets_with_every_python():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))["jobs"]
    commands = [step.get("run") for step in jobs["linux"]["steps"]]
    assert {"make check", "make test"} <= set(commands)
    classifiers = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert jobs["linux"]["strategy"]["matrix"]["python"] == classifiers
    for job in jobs.values():
        for step in job["steps"]:
            for path in re.findall(r"[\w./]*/[\w.]+(?= |$)", step.get("run", "")):
                assert (ROOT / path).exists(), path


def test_readme_is_short_and_its_pictures_are_small():
    text = TEXTS["README.md"]
    assert len(text.split()) <= 900
    pictures = [ROOT / path for path in re.findall(r"!\[.*?\]\((.*?)\)", text)]
    assert len(pictures) >= 2 and all(path.stat().st_size < 1_000_000 for path in pictures)
    with Image.open(pictures[0]) as moving:
        assert moving.n_frames > 10


@pytest.mark.slow
def test_quick_start_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(block_with("import shiftscope"), names := {})
    assert (tmp_path / "quick_start.png").is_file() and names["maps"].sizes["filter"] == 128


def test_block_of_a_new_remedy_runs():
    torch = pytest.importorskip("torch")
    exec(block_with("class MeanOfMaxima"), names := {})
    x = torch.rand(2, 3, 32, 32)
    assert len(names["changes"]) == 5 and names["mended"](x).shape == names["network"](x).shape


@pytest.mark.slow
def test_numpy_block_runs(tmp_path, monkeypatch):
    block = block_with("from analysis import describe")
    rng = np.random.default_rng(0)
    folder = tmp_path / "path" / "to" / "photographs"
    folder.mkdir(parents=True)
    for number in range(2):
        pixels = rng.integers(0, 256, (120, 140, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    names = {"images": rng.random((2, 64, 64)), "image": rng.random((64, 64)), "V": rng.standard_normal((11, 11))}
    exec(block, names)
    assert (tmp_path / "discrepancy.png").is_file()
    assert names["images"].shape == (2, 64, 64)


def test_torch_block_runs():
    torch = pytest.importorskip("torch")
    block = block_with("from wavelets.nn import")
    pictures = torch.rand(2, 64, 48)
    names = {"images": pictures}
    exec(block, names)
    assert names["c"].shape == (2, 128, 8, 6)
    torch.testing.assert_close(names["images"], pictures)


def test_networks_block_runs(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    from analysis import networks

    monkeypatch.chdir(tmp_path)
    torch.save(networks.create("resnet18").state_dict(), "resnet18.pth")
    text = block_with("networks.describe(")
    exec(text, names := {})
    assert f"# {len(networks.list())} names" in text
    assert isinstance(names["model"], networks.WAlexNet)
