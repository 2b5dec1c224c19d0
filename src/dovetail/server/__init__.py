"""The server side: an author's functions become tools, resources and prompts that every revision can call."""

__all__: list[str] = []
