"""Revision 2025-03-26: Streamable HTTP, batches, audio, tool annotations, a completions capability."""

from .. import names
from ..types import CompleteParams, CompleteResult, ProgressNotice, ServerCapabilities, Tool
from .features import Feature
from .profile import Method
from .v2024_11_05 import V2024_11_05

V2025_03_26 = V2024_11_05.next(
    "2025-03-26",
    client_requests=[
        Method(
            names.COMPLETION_COMPLETE,
            CompleteParams,
            CompleteResult,
            capability="completions",
            repeatable=True,
        )
    ],
    features={
        Feature.BATCHES,
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
