"""Revision 2025-11-25: icons, URL elicitation, sampling with tools, richer forms, polling streams."""

from .. import names
from ..types import (
    ClientCapabilities,
    CreateMessageParams,
    ElicitationCapability,
    ElicitationCompleteNotice,
    ElicitParams,
    Implementation,
    Prompt,
    Resource,
    ResourceLink,
    ResourceTemplate,
    SamplingCapability,
    SamplingMessage,
    ServerCapabilities,
    Tool,
)
from .features import Feature
from .profile import NoticeType
from .v2025_06_18 import V2025_06_18

V2025_11_25 = V2025_06_18.next(
    "2025-11-25",
    server_notices=[NoticeType(names.NOTIFY_ELICITATION_COMPLETE, ElicitationCompleteNotice)],
    features={
        Feature.ELICITATION_MODES,
        Feature.ELICITATION_IDS,
        Feature.ELICITATION_DEFAULTS,
        Feature.ELICITATION_ENUM_FORMS,
        Feature.URL_ELICITATION_ERROR,
        Feature.SAMPLING_TOOLS,
        Feature.SAMPLING_CONTEXT,
        Feature.CONTENT_LISTS,
        Feature.POLLING,
        Feature.ERROR_WITHOUT_ID,
        Feature.TASKS,
    },
    content={"tool_use", "tool_result"},
    present={
        Tool: {"icons", "execution"},
        Resource: {"icons"},
        ResourceTemplate: {"icons"},
        ResourceLink: {"icons"},
        Prompt: {"icons"},
        SamplingMessage: {"_meta"},
        Implementation: {"description", "websiteUrl", "icons"},
        ClientCapabilities: {"tasks"},
        ServerCapabilities: {"tasks"},
        CreateMessageParams: {"tools", "toolChoice"},
        ElicitationCapability: {"form", "url"},
        SamplingCapability: {"context", "tools"},
        ElicitParams: {"mode", "url", "elicitationId"},
    },
)
