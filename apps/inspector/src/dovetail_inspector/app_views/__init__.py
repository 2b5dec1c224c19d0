"""Views of MCP Apps: the host's side of the extension ``io.modelcontextprotocol/ui``.

`metadata` reads what tools and resources say of views, `policy` makes of it what a browser may do for one, `judging`
and `bridge` are the protocol between a view and its host, without I/O, and `hosting` carries it out for an Inspection.

Specification: MCP Apps 2026-01-26.
"""
