"""Where it goes what a server tells unasked: to subscriptions, to the callbacks of the options, to visits.

Whoever keeps results is told of every change first. In the stateless era a change comes on the stream of a subscription
and is for that one alone; in the stateful era it comes to the session, and each subscription says whether it wants it.
Specification: basic/utilities/subscriptions; server/utilities/logging; client/elicitation.
"""

from collections.abc import Callable, Collection
from contextvars import Context, copy_context
from typing import Any, Final

from ..logs import get_logger
from ..protocol import names
from ..protocol.call import Notification
from ..protocol.errors import DovetailError
from ..protocol.listening import Change, missed_in_session, subscription_of
from ..protocol.types import (
    AcknowledgedNotice,
    ElicitationCompleteNotice,
    MessageNotice,
    RequestId,
    ResourceUpdatedNotice,
)
from .callbacks import CallbackQueue
from .link import Link
from .listening import Subscription
from .options import Options
from .server_warnings import ServerWarning, ServerWarnings
from .visits import Visits

log = get_logger("dovetail.client")

_CHANGES: Final = {
    names.NOTIFY_TOOLS_CHANGED: Change("tools"),
    names.NOTIFY_PROMPTS_CHANGED: Change("prompts"),
    names.NOTIFY_RESOURCES_CHANGED: Change("resources"),
}


class Notifications:
    """What one client is told. ``changed`` hears of every change before anybody else; ``held``: the resources that a
    session of the stateful era is subscribed to.
    """

    def __init__(self, options: Options, changed: Callable[[Change], None], held: Collection[str]) -> None:
        self._options = options
        self._changed = changed
        self._held = held
        self.context = copy_context()
        self.subscriptions: set[Subscription] = set()
        self.visits = Visits(options.visit_timeout)
        self.warnings = ServerWarnings(self._warn)
        self._queues: list[CallbackQueue] = []
        self._logging = self._queue(options.logging, "logging")
        self._on_change = self._queue(options.on_change, "on_change")
        self._on_notification = self._queue(options.on_notification, "on_notification", arity=2)
        self._on_warning = self._queue(options.on_warning, "on_warning")

    def _queue(
        self, callback: Callable[..., Any] | None, what: str, *, arity: int = 1
    ) -> CallbackQueue | None:
        if callback is None:
            return None
        callback_queue = CallbackQueue(callback, what, arity=arity)
        self._queues.append(callback_queue)
        return callback_queue

    @property
    def listens(self) -> bool:
        """Whether the host has a callback for changes."""
        return self._on_change is not None

    def hear_in(self, context: Context) -> None:
        """Callbacks that belong to no call run in this context from now on."""
        self.context = context
        for callback_queue in self._queues:
            callback_queue.context = context

    def close(self) -> None:
        """Tell nobody anything more. The subscriptions end."""
        for callback_queue in self._queues:
            callback_queue.close()
        for subscription in tuple(self.subscriptions):
            subscription.ended(final=True)

    def admit(self, subscription: Subscription) -> None:
        """Tell the subscription of changes from now on."""
        self.subscriptions.add(subscription)

    def dismiss(self, subscription: Subscription) -> None:
        """Tell it of nothing more."""
        self.subscriptions.discard(subscription)

    def noticed(self, link: Link, event: Notification, related: RequestId | None) -> None:
        """A notification, read."""
        params = event.params
        if isinstance(params, MessageNotice):
            if self._logging is not None:
                origin = link.origin(related)
                self._logging.put(params, call=origin.call, context=origin.context)
            return
        if isinstance(params, AcknowledgedNotice):
            subscription = self._find(params.meta, related)
            if subscription is not None:
                subscription.acknowledge(params)
            return
        if isinstance(params, ElicitationCompleteNotice):
            self.visits.done(params.elicitation_id)
            return
        change = (
            Change("resource", params.uri)
            if isinstance(params, ResourceUpdatedNotice)
            else _CHANGES.get(event.method)
        )
        if change is not None:
            self._tell(link, change, getattr(params, "meta", None), related)
        elif self._options.extensions and self._added(link, event, related):
            return
        elif event.method not in link.profile.server_notices and self._on_notification is not None:
            self._on_notification.put(event.method, params, context=link.origin(related).context)

    def _added(self, link: Link, event: Notification, related: RequestId | None) -> bool:
        """Whether an extension brings the notification; then it is dealt with."""
        additions = self._options.additions
        change = additions.change(event.method, event.params)
        if change is not None:
            self._tell(link, change, event.params.get(names.META), related)
        return additions.hear("server", event.method, event.params) or change is not None

    def warned(self, warning: ServerWarning) -> None:
        """The server got something wrong that was put up with."""
        self.warnings.add(warning)

    def _warn(self, warning: ServerWarning) -> None:
        if self._on_warning is not None:
            self._on_warning.put(warning)

    def _tell(self, link: Link, change: Change, meta: object, related: RequestId | None) -> None:
        self._changed(change)
        if link.stateless:
            subscription = self._find(meta, related)
            if subscription is None or not subscription.wants(change):
                log.debug("a change that nobody asked for was dropped")
                return
            subscription.put(change)
            heard = subscription.background
        else:
            heard = change.kind != "resource"  # of lists this era tells unasked
            for subscription in tuple(self.subscriptions):
                if subscription.wants(change):
                    subscription.put(change)
                    heard = True
        if heard and self._on_change is not None:
            self._on_change.put(change)

    def missed(self, link: Link) -> None:
        """Changes may have been missed: all that the server would have told counts as changed."""
        if link.stateless:  # each subscription knows by itself
            return
        for subscription in tuple(self.subscriptions):
            subscription.missed()
        offered = link.capabilities
        if offered is not None:
            for change in missed_in_session(self._held, offered):
                self.heard(change)

    def forget(self, change: Change) -> None:
        """Keep nothing more of what may have changed."""
        self._changed(change)

    def heard(self, change: Change) -> None:
        """The host's callback is told of a change that no subscription brought."""
        self._changed(change)
        if self._on_change is not None:
            self._on_change.put(change)

    def _find(self, meta: object, related: RequestId | None) -> Subscription | None:
        id = subscription_of(meta)
        if id is None:
            id = related
        if id is None:
            return None
        for item in self.subscriptions:
            if item.id == id and type(item.id) is type(id):
                return item
        return next(
            (item for item in self.subscriptions if str(item.id) == id), None
        )  # a number sent as text

    def ended(self, link: Link, id: RequestId) -> None:
        """The server ended a subscription."""
        for subscription in tuple(self.subscriptions):
            if subscription.id == id:
                subscription.ended()

    def lost(self, link: Link, error: DovetailError, *, final: bool) -> None:
        """The connection is gone; ``final``: for good."""
        for subscription in tuple(self.subscriptions):
            subscription.lost(link, error, final=final)
