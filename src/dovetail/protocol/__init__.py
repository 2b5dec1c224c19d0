"""What is said: pure protocol. Bytes and values in, values and bytes out; no I/O, no tasks, no clocks."""

__all__: list[str] = []
