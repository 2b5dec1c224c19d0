"""What every test has, those of the library and those of the applications: a ledger of skips, the schema oracle, and
wires to servers.
"""

import os

from hypothesis import settings

pytest_plugins = ["clean_reports", "chosen_requirements", "skip_ledger", "oracle.plugin", "wires"]

# Where a change lands, the same examples are tried each time; at a desk, new ones are.
settings.register_profile("landing", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("landing")
