"""What tests of servers, clients and backends are built from.

Theory of operation
-------------------
Nothing here is loaded by a running server. `store_contract` is the suite that defines what a store is.

Specification: none.
"""

__all__: list[str] = []
