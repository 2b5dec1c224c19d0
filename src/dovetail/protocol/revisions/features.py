"""What a revision may have, by name."""

from enum import Enum, auto


class Feature(Enum):
    """What a revision may have, asked for by name."""

    __hash__ = object.__hash__  # an enum's own hashes the name, in Python

    BATCHES = auto()
    COMPLETION_CONTEXT = auto()
    STRUCTURED_CONTENT = auto()
    ANY_STRUCTURED_CONTENT = auto()
    ELICITATION = auto()
    ELICITATION_MODES = auto()
    ELICITATION_IDS = auto()
    ELICITATION_DEFAULTS = auto()
    ELICITATION_ENUM_FORMS = auto()
    URL_ELICITATION_ERROR = auto()
    SAMPLING_TOOLS = auto()
    SAMPLING_CONTEXT = auto()
    CONTENT_LISTS = auto()
    VERSION_HEADER = auto()
    RESUMABLE = auto()
    POLLING = auto()
    PROGRESS_MESSAGE = auto()
    ROUNDS = auto()
    RESULT_TYPE = auto()
    CACHE_HINTS = auto()
    REQUEST_HEADERS = auto()
    LISTEN = auto()
    SESSION_LOG_LEVEL = auto()
    SUBSCRIBE = auto()
    ERROR_WITHOUT_ID = auto()
    TASKS = auto()
