"""What every test has: a ledger of skips, the schema oracle, and wires to servers."""

pytest_plugins = ["clean_reports", "skip_ledger", "oracle.plugin", "wires"]
