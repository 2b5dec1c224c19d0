"""Sphinx's settings for the site that ``make docs`` builds. The pages it sees were laid out by ``tools/docs.py``.

Docstrings write names in single back-quotes and code in double ones; whatever of the former is public becomes a link.
"""

# Sphinx reads these as globals of this file; their spelling is Sphinx's.
import re
from functools import cache

from sphinx.util.nodes import make_refnode

import dovetail

#: A default that Python has no words for; a signature with one could not be read.
OBJECT = re.compile(r"<(factory|[^<>]* object( at 0x[0-9a-f]+)?)>")
#: Classes that are given to users and never made by them.
GIVEN = (
    "dovetail.Context",
    "dovetail.client.Subscription",
    "dovetail.ToolResult",
    "dovetail.client.BlockingClient",
)

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
toc_object_entries = False  # each name has a heading

html_theme = "furo"
html_title = f"Dovetail {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"


def shorten(_app, what, name, obj, _options, signature, result):
    """A signature as a reader needs it: no address of an object, nothing where nobody calls the class."""
    if what == "class" and (name in GIVEN or getattr(obj, "_is_protocol", False)):
        return "", result
    return (signature and OBJECT.sub("...", signature)), result


def find_by_name(app, env, node, contnode):
    """The name of a class, or of something in one, means the public one in docstrings, wherever it stands."""
    target = node.get("reftarget", "")
    if not any(part[:1].isupper() for part in target.split(".")):
        return None  # most of these are parameters
    objects = env.get_domain("py").objects
    name = by_their_ends(tuple(objects)).get(target)
    if name is None:
        return None
    entry = objects[name]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, name)


@cache
def by_their_ends(names):
    """The shortest dotted name for each end of one: ``App.tool`` and ``tool`` for ``dovetail.App.tool``."""
    found = {}
    for name in sorted(names, key=len):
        parts = name.split(".")
        for begin in range(len(parts)):
            found.setdefault(".".join(parts[begin:]), name)
    return found


def setup(app):
    """What Sphinx calls."""
    app.connect("autodoc-process-signature", shorten)
    app.connect("missing-reference", find_by_name)
