"""The store in PostgreSQL. `store` is the bundle; `migrating` brings its schema up to date."""

__all__: list[str] = []
