"""What tasks are called on the wire: in revision 2025-11-25, which has them itself, and in the extension.

Specification: 2025-11-25, basic/utilities/tasks; the extension io.modelcontextprotocol/tasks.
"""

from typing import Final

EXTENSION: Final = "io.modelcontextprotocol/tasks"

GET: Final = "tasks/get"
CANCEL: Final = "tasks/cancel"
#: Of the extension alone.
UPDATE: Final = "tasks/update"
#: Of 2025-11-25 alone.
RESULT: Final = "tasks/result"
LIST: Final = "tasks/list"

NOTIFY: Final = "notifications/tasks"
NOTIFY_STATUS: Final = "notifications/tasks/status"

RESULT_TASK: Final = "task"
RESULT_COMPLETE: Final = "complete"
#: Of the protocol itself.
PROGRESS_TOKEN: Final = "progressToken"  # noqa: S105 - the name of a member, and no secret
REQUEST_STATE: Final = "requestState"
INPUT_RESPONSES: Final = "inputResponses"
NOTIFY_PROGRESS: Final = "notifications/progress"

TASK_IDS: Final = "taskIds"
TASK_ID: Final = "taskId"

META_RELATED: Final = "io.modelcontextprotocol/related-task"
#: Of a tool, the version that a call is about: see `dovetail.App.tool`.
META_VERSION: Final = "io.dovetail/version"
META_IMMEDIATE: Final = "io.modelcontextprotocol/model-immediate-response"

TOOLS_CALL: Final = "tools/call"
#: The requests whose handlers may ask the client.
ASKING: Final = (TOOLS_CALL, "prompts/get", "resources/read")
ELICIT: Final = "elicitation/create"
SAMPLE: Final = "sampling/createMessage"
ROOTS: Final = "roots/list"
#: What a server may ask a client while a task of the client's runs.
QUESTIONS: Final = (ELICIT, SAMPLE, ROOTS)
