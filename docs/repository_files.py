"""Sphinx extension: pages that are files of the repository elsewhere, their links, names, MathJax, examples.

Documents link to each other as GitHub wants it; where a file lies elsewhere on the site, its links are changed here.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.fileutil import copy_asset

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent

PAGES = {
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "results": "results/README.md",
}
"""Pages whose text is that of a file outside docs/, which a page of that name in docs/ only links to."""

REFERENCE = {
    "analysis": ("Measurements, analyses, reports", "``from analysis import ...``"),
    "wavelets": ("Transforms", "``from wavelets import ...``: numpy arrays in and out; torch tensors are taken."),
    "wavelets.nn": (
        "Transforms for torch",
        "``from wavelets.nn import ...``: tensors in and out, on any device, differentiable.",
    ),
    "analysis.networks": ("Networks, remedies, training", "``from analysis import networks``; needs torch."),
    "analysis.theory": ("Theory", "``from analysis import theory``; see :doc:`/theory`."),
    "analysis.plots": (
        "Figures",
        "``from analysis import plots``: datasets and arrays in, matplotlib figures out.",
    ),
}
"""Packages with public names: heading and text of each on the page of the reference."""

NOTEBOOKS = DOCS / "notebooks"
"""Copies of the notebooks, with their outputs; not kept."""


def copy_notebooks(app: Sphinx, config: object) -> None:
    """Bring the notebooks to where Sphinx looks for pages."""
    shutil.rmtree(NOTEBOOKS, ignore_errors=True)
    NOTEBOOKS.mkdir()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        shutil.copy(path, NOTEBOOKS)


def write_reference(app: Sphinx, config: object) -> None:
    """Write api/index.rst, which has every public name, so that autosummary makes a page of each."""
    title = "API reference"
    lines = [title, "=" * len(title), "", "Names of ``analysis`` and ``wavelets`` are names of ``shiftscope`` too."]
    for package, (heading, text) in REFERENCE.items():
        names = _public_names(package) | ({"list"} if package == "analysis.networks" else set())
        listed = sorted(name for name in names if f"{package}.{name}" not in REFERENCE)
        lines += ["", heading, "-" * len(heading), "", text, "", ".. autosummary::", "   :toctree: generated", ""]
        lines += [f"   {package}.{name}" for name in sorted(listed, key=str.casefold)]
    path, written = DOCS / "api" / "index.rst", "\n".join(lines) + "\n"
    path.parent.mkdir(exist_ok=True)
    for stub in (path.parent / "generated").glob("*.rst"):  # of names that are public no more
        if f"   {stub.stem}" not in lines:
            stub.unlink()
    if not path.is_file() or path.read_text(encoding="utf-8") != written:
        path.write_text(written, encoding="utf-8")


def _public_names(package: str) -> set[str]:
    """Return what a package says is public, or else what it defines without an underscore."""
    module = importlib.import_module(package)
    own = {name for name, value in vars(module).items() if getattr(value, "__module__", "") == package}
    return set(getattr(module, "__all__", (name for name in own if not name.startswith("_"))))


def read(app: Sphinx, name: str, source: list[str]) -> None:
    """Take the text from where it is, and let its links lead to pages of the site."""
    if name in PAGES:
        origin = ROOT / PAGES[name]
        source[0] = origin.read_text(encoding="utf-8")
    elif name.startswith("notebooks/"):
        origin = ROOT / f"{name}.ipynb"
    else:
        origin = Path(app.env.doc2path(name))
    # A guide that this copy of the repository lacks is left out of the list.
    source[0] = re.sub(r"^/(\w+)\n", lambda m: m[0] if (DOCS / f"{m[1]}.md").is_file() else "", source[0], flags=re.M)
    page = Path(app.env.doc2path(name)).parent
    source[0] = re.sub(
        r"(\]\()([^)\s#:]+)(#[^)\s]*)?(\))",
        lambda found: found[1] + _moved(found[2], origin.parent, page) + (found[3] or "") + found[4],
        source[0],
    )


def _moved(target: str, origin: Path, page: Path) -> str:
    """Return a link of a file in the folder `origin` as a page in the folder `page` needs it."""
    path = (origin / target).resolve()
    if not path.exists() or ROOT not in path.parents:
        return target
    inside = path.relative_to(ROOT).as_posix()
    names = {file: DOCS / f"{name}.md" for name, file in PAGES.items()} | {"README.md": DOCS / "index.md"}
    if inside in names:
        path = names[inside]
    elif inside.startswith("notebooks/") and path.suffix == ".ipynb":
        path = NOTEBOOKS / path.name
    return Path(os.path.relpath(path, page)).as_posix()


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Put MathJax into the site: two files, of a package that brings them along."""
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if error is None and app.builder.format == "html":
        assert spec is not None and spec.origin is not None
        folder, static = Path(spec.origin).parent / "static", Path(app.outdir) / "_static"
        for file in (app.config.mathjax_path, "mathjax/ui/lazy.js"):
            copy_asset(str(folder / file), str((static / file).parent))


def make_examples(app: Sphinx, error: Exception | None) -> None:
    """Put an explorer and a report into the site, made from results that are kept and a layer that comes along."""
    if error is None and app.builder.format == "html":
        from analysis import bundled_crops, explore, first_layer, kernel_table
        from analysis.reports.stored import stored_report

        folder = Path(app.outdir) / "examples"
        folder.mkdir(exist_ok=True)
        table = kernel_table(first_layer("default"), bundled_crops(colour=True), progress=False)
        explore(table, ROOT / "results/imagenet1000_cf_3_3/heatmaps_J3.nc").save(folder / "explorer.html")
        stored_report([ROOT / "results/kernels/alexnet/kernels.nc"], folder / "report.html")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the functions above."""
    app.connect("config-inited", copy_notebooks)
    app.connect("config-inited", write_reference)
    app.connect("source-read", read)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", make_examples)
    return {"parallel_read_safe": True}
