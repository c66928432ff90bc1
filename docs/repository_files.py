"""Sphinx extension: pages that are files of the repository elsewhere, their links, and MathJax.

Documents link to each other as GitHub wants it; where a file lies elsewhere on the site, its links are changed here.
"""

from __future__ import annotations

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

NOTEBOOKS = DOCS / "notebooks"
"""Copies of the notebooks, with their outputs; not kept."""


def copy_notebooks(app: Sphinx, config: object) -> None:
    """Bring the notebooks to where Sphinx looks for pages."""
    shutil.rmtree(NOTEBOOKS, ignore_errors=True)
    NOTEBOOKS.mkdir()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        shutil.copy(path, NOTEBOOKS)


def read(app: Sphinx, name: str, source: list[str]) -> None:
    """Take the text from where it is, and let its links lead to pages of the site."""
    if name in PAGES:
        origin = ROOT / PAGES[name]
        source[0] = origin.read_text(encoding="utf-8")
    elif name.startswith("notebooks/"):
        origin = ROOT / f"{name}.ipynb"
    else:
        origin = Path(app.env.doc2path(name))
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


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the functions above."""
    app.connect("config-inited", copy_notebooks)
    app.connect("source-read", read)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True}
