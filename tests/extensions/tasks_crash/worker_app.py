"""The app as ``dovetail worker`` runs it in these tests; the environment says where its store and its effects are."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from crash_app import app_of, writer

from dovetail.stores.urls import open_store

LEASE = 3.0
PAUSE = 0.01
app = app_of(
    "crash",
    open_store(os.environ["CLUSTER_STORE"]),
    writer(os.environ["CLUSTER_EFFECTS"]),
    room=0,
    lease=LEASE,
    pause=PAUSE,
)
