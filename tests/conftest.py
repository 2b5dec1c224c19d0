"""What every test has: the ledger of skips (``skip_ledger``) and the schema oracle (``oracle.plugin``)."""

pytest_plugins = ["skip_ledger", "oracle.plugin"]
