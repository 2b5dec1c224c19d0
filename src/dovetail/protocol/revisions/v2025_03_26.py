"""Revision 2025-03-26: Streamable HTTP, batches, audio, tool annotations, a completions capability."""

from ..types import ProgressNotice, ServerCapabilities, Tool
from .features import Feature
from .v2024_11_05 import V2024_11_05

V2025_03_26 = V2024_11_05.next(
    "2025-03-26",
    features={
        Feature.BATCHES,
        Feature.COMPLETIONS_CAPABILITY,
        Feature.PROGRESS_MESSAGE,
        Feature.RESUMABLE,
    },
    content={"audio"},
    present={
        Tool: {"annotations"},
        ServerCapabilities: {"completions"},
        ProgressNotice: {"message"},
    },
)
