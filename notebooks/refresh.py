"""Run the notebooks top to bottom and keep their figures, without counts and traces of the machine.

Usage: python notebooks/refresh.py [NOTEBOOK ...]
"""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image


def execute(path: Path, changes: Mapping[str, str] | None = None) -> nbformat.NotebookNode:
    """Run a notebook in its own folder and return it with outputs; an error in a cell is raised.

    Parameters
    ----------
    path : Path
        The notebook, which is left as it is.
    changes : mapping of str to str, optional
        Parts of the code, each of which stands there once, and what is run in their place: smaller numbers, in tests.
    """
    notebook = nbformat.read(path, as_version=4)
    for old, new in (changes or {}).items():
        (cell,) = (cell for cell in notebook.cells if cell.cell_type == "code" and old in cell.source)
        cell.source = cell.source.replace(old, new)
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": path.parent}})
    client.execute()
    return notebook


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop execution counts, progress bars and metadata of the machine; make the pictures small."""
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                if "metadata" in output:
                    output.metadata = {}
                if output.output_type == "execute_result":
                    output.execution_count = None
                if "image/png" in output.get("data", {}):
                    output.data["image/png"] = shrink(output.data["image/png"])
                    output.data.pop("text/plain", None)  # the name of a class, beside the picture
    return notebook


def shrink(png: str) -> str:
    """Encode a picture again, as small as it gets; a large one with fewer colours, which line art does not miss."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    for count, large in {None: 30_000, 256: 90_000, 128: 110_000, 64: 0}.items():
        small = io.BytesIO()
        fewer = picture if count is None else picture.quantize(count, dither=Image.Dither.NONE)
        fewer.save(small, "PNG", optimize=True)
        if small.tell() < large:
            break
    return base64.b64encode(small.getvalue()).decode()


def main() -> None:
    """Refresh the notebooks named, by default all beside this file."""
    paths = [Path(name) for name in sys.argv[1:]] or sorted(Path(__file__).parent.glob("*.ipynb"))
    for path in paths:
        print(path)
        nbformat.write(clean(execute(path)), path)


if __name__ == "__main__":
    main()
