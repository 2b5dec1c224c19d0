"""Small sharp tools: who is calling, sealed state, rate limits, safe paths.

Theory of operation. Each module stands alone and is imported by name; the package itself exports nothing.
Nothing here talks to the network or knows of a transport: what does, builds on these contracts from the
floors above.

Specification: basic/authorization, basic/patterns/mrtr, "Security Best Practices".
"""

__all__: list[str] = []
