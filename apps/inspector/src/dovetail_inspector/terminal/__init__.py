"""The terminal face: the same views as the page, over the same `Inspection`, drawn by Textual.

Theory of operation. `command` is how it begins, and the one module that may be imported without Textual. `app` holds
the views and follows the events; each view is a file of its own. `text` is what everything passes that a server said:
rows of pieces, safe to draw, never markup. `rows` and `reader` draw such rows, only those that are seen, so a list of
ten thousand is as quick as one of ten. What a form is made of is in `fields`, without a terminal.

Specification: none; docs/inspector-terminal.md.
"""
