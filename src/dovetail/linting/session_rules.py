"""The beginning of a stateful session: initialize, its answer, initialized, and then the rest.

Specification: 2025-11-25 basic/lifecycle.
"""

from __future__ import annotations

from typing import Any

from ..protocol import names
from ..protocol.revisions import PROFILES
from .heard import Heard, objects, shown

__all__ = ["answer", "call"]


def call(heard: Heard) -> None:
    """What a request or a notification of a stateful session says too early, or twice."""
    if heard.stateless:
        return
    if heard.sender == "client":
        _of_client(heard)
    elif (
        heard.is_request
        and heard.method != names.PING
        and heard.talk.initialize_asked
        and not heard.talk.initialized
        and heard.talk.once("early-server-request")
    ):
        said = f"{shown(heard.method)} is asked before the client said that it is initialized"
        heard.say("early-server-request", said, about=heard.talk.initialize_asked)


def _of_client(heard: Heard) -> None:
    talk, say, name = heard.talk, heard.say, heard.method
    if name == names.INITIALIZE:
        if talk.initialize_asked:
            say("initialize-repeated", "the session is initialized already", about=talk.initialize_asked)
        else:
            talk.initialize_asked = heard.line.n
            talk.client = objects(heard.params.get("capabilities"))
    elif not talk.initialize_asked:
        if talk.begun and name != names.PING and not talk.session and talk.once("before-initialize"):
            say("before-initialize", f"{shown(name)} comes before {names.INITIALIZE}", "/method")
    elif name == names.NOTIFY_INITIALIZED:
        if not talk.initialize_answered:
            say(
                "initialized-early",
                f"the client is initialized before {names.INITIALIZE} was answered",
                about=talk.initialize_asked,
            )
        talk.initialized = talk.initialized or heard.line.n
    elif heard.is_request and name != names.PING:
        if not talk.initialize_answered:
            if talk.once("early-request"):
                said = f"{shown(name)} is asked before {names.INITIALIZE} was answered"
                say("early-request", said, about=talk.initialize_asked)
        elif not talk.initialized and talk.once("initialized-missing"):
            said = f"{shown(name)} is asked, and the client never said that it is initialized"
            say("initialized-missing", said, about=talk.initialize_asked)


def answer(heard: Heard) -> None:
    """The answer to initialize, or to a discovery."""
    asked, talk, result = heard.asked, heard.talk, heard.result
    if asked is None:
        return
    if asked.method == names.INITIALIZE:
        if result is None:
            talk.initialize_asked = 0  # it may be tried again
            return
        talk.initialize_answered = heard.line.n
        talk.server = objects(result.get("capabilities"))
        revision: Any = result.get("protocolVersion")
        if isinstance(revision, str):
            talk.agreed = revision
            if revision not in PROFILES:
                said = f"the server answers in revision {shown(revision)}, which is not known"
                heard.say("revision-unknown", said, "/result/protocolVersion")
    elif asked.method == names.DISCOVER and result is not None:
        talk.server = objects(result.get("capabilities"))
