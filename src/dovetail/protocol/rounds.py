"""Rounds: what was asked, what was answered, what was done so far, carried by the request itself.

In the stateless era a server that needs input answers `input_required` and forgets everything. What it must
know when the client sends the request again rides in ``requestState``: a `Journal`, sealed. This file is
the pure part: the journal, its checks and its bytes. Sealing is in `dovetail.security.sealing`, the running
of bodies in `dovetail.runtime.rounds`.

* An answer counts only if its question was asked last round, and only for the same question: the journal
  keeps a digest of it. A request without state has no last round: what it answers of its own accord counts for
  questions that the author named, and for no others.
* The state is bound to method, name and arguments (canonical JSON, so that a client may re-order keys), to
  the principal and to the app, and it expires. Its length tells the client nothing of what steps recorded (`dump`).
* What opens is still judged: a journal that no round of ours could have ended with is refused like a forged one.

Specification: basic/patterns/mrtr.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from . import codec, names
from .errors import InvalidParams
from .types.prompts import GetPromptParams
from .types.requests import InputRequest, InputRequired, RetryParams
from .types.resources import ReadResourceParams
from .types.tools import CallToolParams

MAX_ROUNDS: Final = 32
MAX_DURABLE_ROUNDS: Final = 1000
"""The same for a call that outlives its requests."""
MAX_QUESTIONS: Final = 32
LIFETIME: Final = 900.0
SKEW: Final = 60.0
"""Seconds that the clock of another worker may be ahead of ours."""
MAX_STEPS: Final = 1000
PADDING: Final = 128
"""Bytes that the record of a call's steps grows by, at least: its length tells no more."""
_NONCE: Final = 16
_NO_STEPS: Final = b" " * (PADDING - len("{}"))
_SHORT: Final = 1024
"""Bytes up to which what state is bound to stands for itself."""
_canonical: Final = msgspec.json.Encoder(order="sorted")


class WireQuestion(Struct, frozen=True, dict=True):
    """A question as it goes to the client: a request without envelope. ``lasting``: the same parameters without what is
    another each time that the question is put, where there is such a thing.
    """

    method: str
    params: bytes
    lasting: bytes = b""

    @cached_property
    def digest(self) -> str:
        """What tells this question from another."""
        import hashlib  # with all that it brings, a server that never asks needs none of it

        return hashlib.sha256(self.method.encode() + b"\0" + (self.lasting or self.params)).hexdigest()[:32]

    @cached_property
    def request(self) -> InputRequest:
        """The question as the client is to see it."""
        return InputRequest(method=self.method, params=Raw(self.params))


class RecordedAnswer(Struct, frozen=True):
    """A recorded answer and the digest of the question that it answers."""

    digest: str
    answer: Raw


class Journal(Struct):
    """What happened in the rounds so far. ``asked`` are the digests of the questions of the last round, by
    key. ``owner``: in whose share of a store the call is kept, if it is. ``trace``: the span of the last round, a
    ``traceparent``, where somebody traces; all are equally long.
    """

    nonce: str
    expires: float
    round: int = 0
    answers: dict[str, RecordedAnswer] = field(default_factory=dict)
    steps: dict[str, Raw] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)
    owner: str = ""
    trace: str | UnsetType = UNSET

    def accept(self, responses: Mapping[str, Raw]) -> None:
        """Record the answers to what was asked last round; others are ignored, missing ones will be asked
        again.
        """
        for key, answer in responses.items():
            digest = self.asked.get(key)
            if digest is not None:
                self.answers[key] = RecordedAnswer(digest, answer.copy())
        self.asked = {}

    def volunteer(self, key: str, question: WireQuestion, answer: Raw) -> None:
        """Record an answer that came without state, before its question was asked."""
        self.answers[key] = RecordedAnswer(question.digest, answer.copy())

    def answer(self, key: str, question: WireQuestion) -> Raw | None:
        """The recorded answer to this very question, or None."""
        found = self.answers.get(key)
        return found.answer if found is not None and found.digest == question.digest else None

    def forget(self, key: str) -> None:
        """Drop an answer that was no good: the question will be asked again."""
        self.answers.pop(key, None)

    def close_round(self, questions: Mapping[str, WireQuestion]) -> dict[str, InputRequest]:
        """Note what is asked now, and give it as the client is to see it."""
        self.round += 1
        self.asked = {key: question.digest for key, question in questions.items()}
        return {key: question.request for key, question in questions.items()}


_journals: Final = codec.reader(Journal)


def binding_of(method: str, params: RetryParams, *, principal: str, audience: str) -> bytes:
    """What request state is bound to: a JSON text, or the digest of a long one behind a byte that no JSON begins with.
    Arguments in another order of keys give the same binding; another version of a tool does not.
    """
    subject: Any = None
    arguments: Any = None
    version: list[str] = []
    if isinstance(params, CallToolParams):
        subject = params.name
        if params.meta is not None and params.meta.version is not None:
            version = [params.meta.version]
        arguments = codec.decode(params.arguments) if params.arguments else {}
    elif isinstance(params, GetPromptParams):
        subject, arguments = params.name, params.arguments or {}
    elif isinstance(params, ReadResourceParams):
        subject = params.uri
    whole = _canonical.encode([method, subject, arguments, principal, audience, *version])
    if len(whole) <= _SHORT:
        return whole
    import hashlib

    return b"\0" + hashlib.sha256(whole).digest()


def dump(journal: Journal) -> bytes:
    """The journal as bytes, to be sealed; its length is that of what the client knows, and a padded one.

    Steps, which the client must not see, are padded by themselves. With one padding for all, whoever may choose an
    answer would lengthen it until the whole grows, and so find out to the byte how long the steps are. (The padding is
    white space, which ends any JSON text.)
    """
    data = codec.encode(journal)
    if not journal.steps:
        return data + _NO_STEPS
    steps = len(codec.encode(journal.steps))
    return data + b" " * (padded(steps) - steps)


def padded(size: int) -> int:
    """The length of a bucket for so many bytes: multiples of `PADDING` up to 2 KiB, and from there on of an eighth or
    less of the size. An empty one counts as well.
    """
    grain = max(PADDING, 1 << max(size.bit_length() - 4, 0))
    return -(-size // grain) * grain


def load(data: bytes, *, now: float) -> Journal:
    """The journal from unsealed bytes. Raises `InvalidParams` when it is stale, has run too long, or is not what a
    round of ours ends with.
    """
    journal = _journals.read(data)
    if now >= journal.expires:
        raise InvalidParams("the request state has expired; send the request again without it")
    if journal.round >= MAX_ROUNDS:
        raise InvalidParams(f"the request went through {MAX_ROUNDS} rounds without coming to an end")
    possible = (
        journal.round >= 1
        and journal.expires <= now + LIFETIME + SKEW
        and len(journal.nonce) >= _NONCE
        and 1 <= len(journal.asked) <= MAX_QUESTIONS
        and len(journal.steps) <= MAX_STEPS
    )
    if not possible:
        raise InvalidParams("the request state is not valid; send the request again without it")
    return journal


def load_durable(data: str) -> Journal:
    """The journal of a call that outlives its requests, from what a run of it ended with. It never left the server, so
    nothing is judged but its form. Raises `DECODE_ERRORS`.
    """
    return _journals.read(data.encode())


def required(requests: dict[str, InputRequest], state: str | None) -> InputRequired:
    """The result that asks for input."""
    return InputRequired(
        result_type=names.RESULT_INPUT_REQUIRED, input_requests=requests or None, request_state=state
    )
