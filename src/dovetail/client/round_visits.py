"""Waiting between the rounds of a call for a person who was sent to an address (2026-07-28).

Consent to a visit is no end of it, and nobody tells the client of the end: the server answers with a result, or asks
for the same visit again. So a round that asks for nothing but visits that were agreed to in this call is answered again
without the person, after a pause that grows, until the host says that the visit is done or a bound is reached. Then the
person is asked anew.
Specification: client/elicitation, "URL Mode Elicitation Requests".
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from msgspec import Raw

from ..protocol import codec, names
from ..protocol.revisions import Profile
from ..protocol.types import ElicitParams, ElicitResult, InputRequest
from .visits import Visits

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0
_URL: Final = "url"


class RoundVisits:
    """The visits of one call, told by ``visits`` that one is done. To be entered while the call is made."""

    def __init__(self, visits: Visits) -> None:
        self._visits = visits
        self._agreed: dict[str, float] = {}
        self._done: dict[str, bool] = {}  # whether the call was made again since
        self._ids: dict[str, str] = {}
        self._said = asyncio.Event()
        self._pause = _FIRST_PAUSE

    def __enter__(self) -> "RoundVisits":
        self._visits.calls.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._visits.calls.discard(self)

    @property
    def waits(self) -> bool:
        """Whether a visit was agreed to, and nobody said that it is done."""
        return any(url not in self._done for url in self._agreed)

    def ask(self, url: str, id: str | None) -> None:
        """The person is asked about a visit; what was said of one before counts no more."""
        self._agreed.pop(url, None)
        self._done.pop(url, None)
        self._ids[url] = id or url

    def agree(self, url: str, *, done: bool) -> None:
        """The person agreed to it; ``done``: and has been there."""
        self._agreed[url] = asyncio.get_running_loop().time() + self._visits.bound
        self._pause = _FIRST_PAUSE
        if done or url in self._done:  # the host may have said so while it asked
            self._done[url] = True

    def done(self, id: str | None) -> None:
        """A visit is over; None: all of them are."""
        self._done.update(
            {url: False for url, known in self._ids.items() if id is None or id in (url, known)}
        )
        self._said.set()

    async def answers(self, asked: Mapping[str, InputRequest], profile: Profile) -> dict[str, Raw] | None:
        """The answers to a round that asks for nothing but visits which were agreed to, once it is time to give them
        again. None where the person is to be asked.
        """
        now = asyncio.get_running_loop().time()
        urls = [_address(each) for each in asked.values()]
        if not urls or not all(url is not None and self._agreed.get(url, 0.0) > now for url in urls):
            return None
        if all(self._done.get(url or "") for url in urls):
            return None  # somebody said so, and the server does not see it
        until = min(self._agreed[url] for url in urls if url is not None)
        try:
            async with asyncio.timeout(min(self._pause, until - now)):
                await self._said.wait()
        except TimeoutError:
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        self._said.clear()
        self._done = dict.fromkeys(self._done, True)
        return {key: Raw(profile.encode(ElicitResult(action="accept"))) for key in asked}


def _address(question: InputRequest) -> str | None:
    """The address that a question sends the person to; None for any other question."""
    if question.method != names.ELICITATION_CREATE:
        return None
    try:
        params = codec.reader(ElicitParams).keep(question.params)
    except codec.DECODE_ERRORS:
        return None  # whoever answers it says what is wrong
    return params.url if params.mode == _URL else None
