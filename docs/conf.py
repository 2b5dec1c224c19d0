"""Sphinx's settings for the site that ``make docs`` builds. The pages it sees were laid out by ``tools/docs.py``.

Docstrings write names in single back-quotes and code in double ones; whatever of the former is public becomes a link.
"""

# Sphinx reads these as globals of this file; their spelling is Sphinx's.
import dovetail

project = "Dovetail"
author = "The Dovetail authors"
version = release = dovetail.__version__
copyright = author  # noqa: A001 - Sphinx's own name for it

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
default_role = "py:obj"
language = "en"
nitpicky = False

myst_heading_anchors = 3
myst_links_external_new_tab = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"Dovetail {release}"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"
