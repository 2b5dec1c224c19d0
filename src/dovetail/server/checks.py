"""What an app checks when something is registered on it, so that nothing is found out at call time."""

import inspect
import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Final, NoReturn, TypeVar, cast

from msgspec import Struct

from ..protocol import codec
from ..protocol.meta_keys import check_meta_key
from ..protocol.revisions import PROFILES, STATEFUL, STATELESS
from ..protocol.revisions.profiles import ServedRevisions
from ..protocol.types.metadata import Icon, Implementation
from ..protocol.types.wire import Meta
from ..protocol.uri_template.template import URITemplate
from ..runtime.extension import TaskOptions, TaskSupport
from . import hints
from .options import PromptOptions
from .signature import Plan, RegistrationError, author_line, not_callable

F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S", bound=Struct)
Refuse = Callable[[str], RegistrationError]

# server/tools, "Tool Names".
TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
TOOL_NAMES_HAVE: Final = "1 to 128 of A-Z, a-z, 0-9, '_', '-' and '.'"
# RFC 3986, section 3.1 and appendix A.
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_URI: Final = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")


def served(revisions: Sequence[str] | None) -> ServedRevisions:
    """The revisions to serve; all when None. Raises `RegistrationError`."""
    wanted = list(PROFILES) if revisions is None else list(revisions)
    unknown = [revision for revision in wanted if revision not in PROFILES]
    if unknown or not wanted:
        raise RegistrationError(
            f"unknown revision {', '.join(map(repr, unknown)) or '(none given)'}; there are {', '.join(PROFILES)}"
        )
    return ServedRevisions(
        tuple(revision for revision in STATEFUL if revision in wanted),
        tuple(revision for revision in STATELESS if revision in wanted),
    )


def decorator(add: Callable[..., None], *values: Any, **options: Any) -> Callable[[F], F]:
    """A decorator that registers a function by ``add`` and gives it back unchanged."""

    def register(fn: F) -> F:
        add(fn, *values, **options)
        return fn

    return register


def described(plan: Plan, options: PromptOptions) -> dict[str, Any]:
    """What a tool, a resource and a prompt tell clients of themselves alike. Raises `RegistrationError`."""
    title, description, meta = options.get("title"), options.get("description"), options.get("meta")
    check_texts(plan.refuse, name=options.get("name"), title=title, description=description)
    check_meta(plan, meta)
    return {
        "name": options.get("name") or plan.name,
        "title": title,
        "description": description or plan.docstring.text or None,
        "icons": as_icons(plan.refuse, options.get("icons")),
        "meta": meta,
    }


def described_template(plan: Plan, options: PromptOptions, variables: Sequence[str]) -> dict[str, Any]:
    """The same of a resource template, whose variables have no place of their own to be described in: what the function
    says of them follows its description, where no other is given. Raises `RegistrationError`.
    """
    said = described(plan, options)
    inputs = {each.name: each.description for each in plan.inputs}
    texts = [f"{name}: {text}" for name in variables if (text := inputs.get(name))]
    if texts and not options.get("description"):
        said["description"] = "\n\n".join(filter(None, (said["description"], "\n".join(texts))))
    return said


def known_options(what: str) -> Callable[[F], F]:
    """A method whose options are those of its signature; of any other, the author is told what to write instead.

    ``what``: what the options are of, for people. The method raises `RegistrationError` for one that is none.
    """

    def checked(method: F) -> F:
        code = method.__code__
        known = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
        for each in getattr(method.__annotations__.get("options"), "__args__", ()):
            known += tuple(each.__annotations__)

        @wraps(method)
        def call(*values: Any, **options: Any) -> Any:
            for name in options:
                if name not in known:
                    from .other_names import told_of_option  # for mistakes alone

                    fn: Any = next((each for each in values[1:2] if callable(each)), None)
                    raise RegistrationError(
                        told_of_option(what, name, known),
                        function=getattr(fn, "__name__", ""),
                        where=author_line(),
                    )
            return method(*values, **options)

        return cast("F", call)

    return checked


class NotHere:
    """An attribute of a class that it does not have, so that who asks the class itself is told what to write, too.

    ``told`` is the ``__getattr__`` of its instances, and raises AttributeError.
    """

    def __init__(self, name: str, told: Callable[[object, str], NoReturn]) -> None:
        self._name = name
        self._told = told

    def __get__(self, instance: object, owner: type) -> NoReturn:
        self._told(owner if instance is None else instance, self._name)

    def __set__(self, instance: object, value: object) -> NoReturn:
        self._told(instance, self._name)  # so that nobody who lists the methods of the class takes it for one


def misused(given: object, decorator: str, right: str) -> RegistrationError:
    """The error for a decorator that was given something else than it takes: ``right`` is what to write."""
    plain: Any = given
    if callable(plain) or isinstance(given, classmethod):
        function = cast("Callable[..., Any]", inspect.unwrap(plain))
        code = getattr(function, "__code__", None)
        where = f"{code.co_filename}:{code.co_firstlineno}" if code is not None else author_line()
        name = getattr(function, "__name__", "")
        problem = f"{decorator} stands alone; write {right}" if callable(plain) else not_callable(plain)
        return RegistrationError(problem, function=name, where=where)
    return RegistrationError(
        f"{decorator} was given {f'{given!r}'[:100]}; write {right}", where=author_line()
    )


def refused_app(problem: str) -> RegistrationError:
    """The error for an option that an app can't have."""
    return RegistrationError(f"App(...): {problem}", where=author_line())


def described_app(
    *,
    name: str,
    version: str,
    title: str | None,
    description: str | None,
    website_url: str | None,
    icons: Sequence[Icon] | None,
) -> Implementation:
    """What an app says of itself. Raises `RegistrationError`."""
    check_texts(
        refused_app,
        name=name,
        version=version,
        title=title,
        description=description,
        website_url=website_url,
    )
    return Implementation(
        name=name,
        version=version,
        title=title,
        description=description,
        website_url=website_url,
        icons=as_icons(refused_app, icons),
    )


def check_texts(refuse: Refuse, **texts: object) -> None:
    """Each is a text, or None. Raises what ``refuse`` makes."""
    for name, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise refuse(f"{name}= is a text, and was given {f'{text!r}'[:100]}")


def check_timeout(refuse: Refuse, timeout: object) -> None:
    """It is a time to wait, or None. Raises what ``refuse`` makes."""
    if timeout is None or (isinstance(timeout, (int, float)) and timeout is not True and timeout > 0):
        return
    raise refuse(
        f"timeout= is a number of seconds above zero, or None for no limit, and was given {f'{timeout!r}'[:100]}"
    )


def chosen_tags(plan: Plan, tags: object) -> frozenset[str]:
    """The tags that an author gave. Raises `RegistrationError`."""
    if tags is None:
        return frozenset()
    if isinstance(tags, str):
        raise plan.refuse(f"tags is a list of texts: [{tags!r}]")
    given = (
        list(cast("Sequence[object]", tags)) if isinstance(tags, (list, tuple, set, frozenset)) else [tags]
    )
    for tag in given:
        if not isinstance(tag, str) or not tag:
            raise plan.refuse(f"a tag is a text, and {f'{tag!r}'[:100]} is none")
    return frozenset(cast("list[str]", given))


def as_icons(refuse: Refuse, icons: object) -> list[Icon] | None:
    """Icons as an author gave them: `Icon`s, or dicts as they go over the wire. Raises what ``refuse`` makes."""
    if icons is None:
        return None
    given = cast("Sequence[object]", icons) if isinstance(icons, (list, tuple)) else [icons]
    for icon in given:
        if not isinstance(icon, (Icon, dict)):
            told = repr(icon) if isinstance(icon, str) else '"https://..."'
            raise refuse(f"icons= is a list of Icons; write icons=[Icon(src={told[:200]})]")
    if not isinstance(icons, (list, tuple)):
        raise refuse("icons= is a list of Icons; write icons=[Icon(src=...)]")
    return [as_struct(refuse, Icon, icon, "icons=[...]") for icon in given]


def as_struct(refuse: Refuse, kind: type[S], given: object, name: str) -> S:
    """A value of the protocol, or a dict as it goes over the wire, checked: nobody has looked at its members yet.

    Raises what ``refuse`` makes.
    """
    if not isinstance(given, (kind, dict)):
        raise refuse(f"{name} takes {kind.__name__}(...), and was given {f'{given!r}'[:100]}")
    try:
        value = codec.reader(kind).keep(codec.encode(given))
    except (*codec.DECODE_ERRORS, TypeError) as problem:
        raise refuse(f"{name}: {problem}") from None
    unknown = getattr(value, "extra", None)
    if unknown and isinstance(given, dict):
        raise refuse(f"{name}: there is no {sorted(unknown)[0]!r}; write {kind.__name__}(...)")
    return value if isinstance(given, dict) else cast("S", given)


def task_options(plan: Plan, given: TaskSupport | TaskOptions | None, *, can_run: bool) -> TaskOptions | None:
    """How a tool may be run as a task; None for one that may not. ``can_run``: whether the app has what runs tasks.
    Raises `RegistrationError`.
    """
    try:
        options = given if isinstance(given, TaskOptions) else TaskOptions(support=given or "forbidden")
    except ValueError as problem:
        raise plan.refuse(str(problem)) from None
    if options.support == "forbidden":
        return None
    if not can_run:
        raise plan.refuse(
            "task= needs what runs tasks: write from dovetail.extensions.tasks import tasks, and "
            "App(..., extensions=[tasks()])"
        )
    return options


def check_name(plan: Plan, name: str) -> None:
    """Tool names: 1 to 128 letters, digits, ``_``, ``-`` and ``.`` (server/tools "Tool Names")."""
    if not TOOL_NAME.fullmatch(name):
        raise plan.refuse(f"the tool name {name[:140]!r} is not allowed: {TOOL_NAMES_HAVE}")


def check_meta(plan: Plan, meta: Meta | None) -> None:
    """Keys of ``_meta`` follow the grammar of basic/index, "_meta". Raises `RegistrationError`."""
    if meta is not None and not isinstance(meta, dict):  # pyright: ignore[reportUnnecessaryIsInstance] - authors' code is not always checked
        raise plan.refuse(f"meta= is a dict, and was given {f'{meta!r}'[:100]}")
    for key in meta or {}:
        problem = check_meta_key(key, reserved_rule="second-label")
        if problem is not None:
            raise plan.refuse(f"the _meta key {key!r} is not allowed: {problem}")


def check_uri(plan: Plan, template: URITemplate) -> None:
    """A resource's URI begins with a scheme and holds what RFC 3986 allows. Raises `RegistrationError`."""
    scheme, colon, _ = template.literal_prefix.partition(":")
    if not colon or not _SCHEME.fullmatch(scheme):
        raise plan.refuse(
            f"the URI {template.template[:100]!r} has no scheme; write one as in 'notes://today'"
        )
    if template.is_static and not _URI.fullmatch(template.template):
        raise plan.refuse(f"the URI {template.template[:100]!r} holds what must be percent-encoded")


def check_variables(plan: Plan, template: URITemplate) -> None:
    """The parameters of a function are the variables of its template. Raises `RegistrationError`."""
    inputs = {parameter.name: parameter for parameter in plan.inputs}
    for variable in template.variables:
        if variable not in inputs:
            raise plan.refuse(
                f"the URI {template.template!r} has a variable {variable!r} that is no parameter"
            )
    exploded = template.exploded
    for name, parameter in inputs.items():
        kind = hints.without_markers(parameter.annotation)
        if name in exploded and kind in (str, int, float, bool, bytes):
            raise plan.refuse(
                f"is a {kind.__name__}, and {{{name}*}} in the URI {template.template!r} gives a list of texts; write"
                f" {{+{name}}} for one value that may have slashes in it, or take a list[str]",
                name,
            )
        if name not in template.variables and parameter.required:
            raise plan.refuse(
                f"is no variable of the URI {template.template!r}, so nothing can fill it", name
            )
