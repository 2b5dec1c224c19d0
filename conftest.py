"""What every test has, those of the library and those of the applications: a ledger of skips, the schema oracle, and
wires to servers.
"""

import gc
import os
import signal

from hypothesis import HealthCheck, settings

pytest_plugins = ["clean_reports", "chosen_requirements", "skip_ledger", "oracle.plugin", "wires"]

# Where a change lands, the same examples are tried each time; at a desk, new ones are. How long it takes to make them
# says how busy the machine is.
settings.register_profile("desk", suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("landing", settings.get_profile("desk"), derandomize=True)
settings.load_profile("landing" if os.environ.get("CI") else "desk")

# Who starts tests in the background, or under nohup, has signals ignored in all that they start, and servers rightly
# go on ignoring them. With handlers the tests live on as they would, and what they start hears signals again.
for name in ("SIGHUP", "SIGINT", "SIGQUIT"):
    number = getattr(signal, name, None)
    if number is not None and signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if name == "SIGINT" else lambda *_: None)

# Nothing of what is imported and collected is garbage: looking for some while it grows takes a fifth of that time.
gc.disable()


def pytest_collection_finish() -> None:
    """What was collected stays to the end: half a million objects that no collection of garbage needs to look at.
    Tests of memory and of what is left behind collect garbage by the hundred times.
    """
    gc.freeze()
    gc.enable()
