"""Links between the pages of one folder: the kernels of a layer, the explorer, and what to change in the layer."""

from __future__ import annotations

from pathlib import Path

from analysis.files.atomic import write_atomically

PAGE = "prescribe.html"
EXPLORER = "explorer.html"  # its usual name
NO_LINK = '<p id="prescription" hidden></p>'
LINK = f'<p id="prescription"><a href="{PAGE}">What to change in this layer, and what it costs</a></p>'


def link_page(path: Path) -> bool:
    """Put the link to a prescription into a page that has room for it, and tell whether there is such a page.

    Parameters
    ----------
    path : Path
        Of the page, of a kernel analysis or an explorer; it need not be there, or may be another one.
    """
    if not path.is_file():
        return False
    text = path.read_text(encoding="utf-8")
    if NO_LINK in text:
        linked = text.replace(NO_LINK, LINK)
        write_atomically(path, lambda temporary: temporary.write_text(linked, encoding="utf-8"))
    return NO_LINK in text or LINK in text
