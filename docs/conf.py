"""Configuration of the documentation site; ``make docs`` builds it, without a network."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from shiftscope import __version__  # noqa: E402

project = "shiftscope"
author = copyright = "the shiftscope developers"
version = release = __version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "repository_files",
]
exclude_patterns = ["_build"]

# Formulas are drawn by MathJax from the site's own folder, as SVG, which needs no fonts.
# A formula is drawn when it comes into view: the page of the theory has two thousand.
mathjax_path = "mathjax/tex-svg-full.js"
mathjax3_config = {"loader": {"load": ["ui/lazy"]}}
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 4
nb_execution_mode = "off"  # the notebooks are kept with their outputs
nb_merge_streams = True

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "groupwise"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
add_module_names = False

html_theme = "pydata_sphinx_theme"
html_title = "shiftscope"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "shiftscope"},
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 7,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {name: [] for name in ("index", "quickstart", "gallery", "theory")}  # pages without siblings
