"""What an object offers: marks on its methods, and registering what is marked.

Theory of operation. `tool`, `resource`, `prompt` and `completion` only note on a function what it is to be offered as;
the function stays what it is, and no app has to be there yet. `App.include` looks for the marks along the classes of an
object, or in a module, and registers what it finds there as a bound method, the oldest first. A method that overrides a
marked one is offered as that one was, unless it has marks of its own; a name that a subclass sets to something which
can't be called, such as None, is offered no more. All of it is registered, or nothing.

Specification: server/tools, server/resources, server/prompts.
"""

import inspect
from collections.abc import Callable, Iterator
from functools import partial, partialmethod
from types import FunctionType, MethodType, ModuleType
from typing import Any, Final, Protocol, TypeVar, Unpack, cast, overload

from msgspec import Struct
from msgspec.structs import replace

from .checks import known_options, misused
from .options import PromptOptions, ResourceOptions, ToolOptions
from .signature import RegistrationError, author_line

__all__ = ["MemberRegistrar", "completion", "include", "include_marked", "prompt", "resource", "tool"]

F = TypeVar("F")
_MARKS: Final = "__dovetail_marks__"


class MemberRegistrar(Protocol):
    """What registers what was found: an `App`."""

    def add_tool(self, fn: Callable[..., Any], **options: Any) -> None:
        """See `App.add_tool`."""
        ...

    def remove_tool(self, name: str, *, version: str | None = None) -> None:
        """See `App.remove_tool`."""
        ...

    def add_resource(self, fn: Callable[..., Any], uri: str, **options: Any) -> None:
        """See `App.add_resource`."""
        ...

    def remove_resource(self, uri: str) -> None:
        """See `App.remove_resource`."""
        ...

    def add_prompt(self, fn: Callable[..., Any], **options: Any) -> None:
        """See `App.add_prompt`."""
        ...

    def remove_prompt(self, name: str) -> None:
        """See `App.remove_prompt`."""
        ...

    def completion(self, ref: str, argument: str) -> Callable[[Any], Any]:
        """See `App.completion`."""
        ...

    def remove_completion(self, ref: str, argument: str) -> None:
        """See `App.remove_completion`."""
        ...


class _Mark(Struct, frozen=True):
    """What a function is to be offered as. ``subject``: the URI of a resource, or what a completion is for;
    ``argument``: the one that it completes.
    """

    kind: str
    options: dict[str, Any]
    subject: str = ""
    argument: str = ""


@overload
def tool(fn: F, /) -> F: ...
@overload
def tool(fn: None = None, /, **options: Unpack[ToolOptions]) -> Callable[[F], F]: ...
@known_options("a tool")
def tool(fn: Any = None, /, **options: Unpack[ToolOptions]) -> Any:
    """Mark a method as a tool, for `App.include`: ``@tool``, or with options, which are `ToolOptions`. The name
    defaults to that of the method. Raises `RegistrationError` for what is no function, and for an option that does not
    exist.
    """
    if fn is None:
        return _marking("@tool", _Mark("tool", dict(options)))
    _refuse_text(fn, "@tool")
    return _marked(fn, "@tool", _Mark("tool", dict(options)))


@known_options("a resource")
def resource(uri: str, /, **options: Unpack[ResourceOptions]) -> Callable[[F], F]:
    """Mark a method as a resource, or with variables in the URI (RFC 6570) as a template, for `App.include`.

    Options: `ResourceOptions`. Raises `RegistrationError`.
    """
    if not isinstance(uri, str):  # pyright: ignore[reportUnnecessaryIsInstance] - authors' code is not always checked
        raise misused(uri, "@resource", "@resource('notes://today'), with the URI of the resource")
    return _marking("@resource", _Mark("resource", dict(options), uri))


@overload
def prompt(fn: F, /) -> F: ...
@overload
def prompt(fn: None = None, /, **options: Unpack[PromptOptions]) -> Callable[[F], F]: ...
@known_options("a prompt")
def prompt(fn: Any = None, /, **options: Unpack[PromptOptions]) -> Any:
    """Mark a method as a prompt, for `App.include`: ``@prompt``, or with options, which are `PromptOptions`. The name
    defaults to that of the method. Raises `RegistrationError` as `tool` does.
    """
    if fn is None:
        return _marking("@prompt", _Mark("prompt", dict(options)))
    _refuse_text(fn, "@prompt")
    return _marked(fn, "@prompt", _Mark("prompt", dict(options)))


def completion(ref: str, argument: str) -> Callable[[F], F]:
    """Mark a method that suggests values for an argument of a prompt (``ref``: its name) or a variable of a template
    (``ref``: the template), for `App.include`. Raises `RegistrationError`. Specification: server/utilities/completion.
    """
    if not isinstance(ref, str):  # pyright: ignore[reportUnnecessaryIsInstance] - as above
        raise misused(ref, "@completion", "@completion('prompt or template', 'argument')")
    return _marking("@completion", _Mark("completion", {}, ref, argument))


def include(app: MemberRegistrar, thing: object, prefix: str) -> None:
    """Register what is marked of an object, or in a module. ``prefix``: before the names of tools and prompts. Raises
    `RegistrationError`, where nothing is marked, too; nothing is registered then.
    """
    if not include_marked(app, thing, prefix):
        what = "function" if isinstance(thing, ModuleType) else "method"
        raise _refused(
            f"nothing of {_shown(thing)} is marked; put @tool, @resource(...), @prompt or @completion(...) of dovetail"
            f" on each {what} that is to be offered"
        )


def include_marked(app: MemberRegistrar, thing: object, prefix: str = "") -> list[Callable[[], None]]:
    """The same, where nothing may be marked, too; gives what takes each back."""
    undo: list[tuple[Callable[[], None], bool]] = []
    try:
        for fn, mark in _found(thing):
            undo.append((_register(app, fn, mark, prefix), bool(mark.options.get("replace"))))
    except BaseException:
        for each, replaced in reversed(undo):
            if not replaced:  # what was replaced is gone
                each()
        raise
    return [each for each, _ in undo]


def _register(app: MemberRegistrar, fn: Callable[..., Any], mark: _Mark, prefix: str) -> Callable[[], None]:
    """Offer a function as its mark says; gives what takes it back."""
    options = dict(mark.options)
    if mark.kind == "completion":
        of_prompt = "://" not in mark.subject and "{" not in mark.subject
        subject = prefix + mark.subject if of_prompt else mark.subject
        app.completion(subject, mark.argument)(fn)
        return partial(app.remove_completion, subject, mark.argument)
    if mark.kind == "resource":
        app.add_resource(fn, mark.subject, **options)
        return partial(app.remove_resource, mark.subject)
    options["name"] = name = prefix + options["name"]
    if mark.kind == "tool":
        app.add_tool(fn, **options)
        return partial(app.remove_tool, name, version=options.get("version"))
    app.add_prompt(fn, **options)
    return partial(app.remove_prompt, name)


def _found(thing: object) -> list[tuple[Callable[..., Any], _Mark]]:
    """All that is marked, with what is to be called for it; completions last. Raises `RegistrationError` for what has
    no marked members.
    """
    if isinstance(thing, type):
        raise _refused(
            f"{thing.__name__} is a class; write app.include({thing.__name__}()), with an object of it"
        )
    if inspect.isroutine(thing):
        raise _refused(
            f"{getattr(thing, '__name__', thing)!s} is a function; register it with @app.tool or app.add_tool, for"
            " include takes an object with marked methods, or a module"
        )
    found: list[tuple[Callable[..., Any], _Mark]] = []
    for name, marks in _names(thing).items():
        fn = getattr(thing, name)
        if not callable(fn):
            raise _refused(
                f"{name!r} of {_shown(thing)} is marked, and gives {fn!r:.60}, which can't be called"
            )
        for mark in marks:
            options = mark.options if mark.options.get("name") else {**mark.options, "name": name}
            found.append((fn, replace(mark, options=options)))
    return sorted(found, key=lambda each: each[1].kind == "completion")


def _names(thing: object) -> dict[str, tuple[_Mark, ...]]:
    """The names of what is marked, in the order in which they were first written."""
    if isinstance(thing, ModuleType):
        return {
            name: marks
            for name, value in vars(thing).items()
            if (marks := _marks_of(value)) and not _is_from_elsewhere(value, thing)
        }
    names: dict[str, tuple[_Mark, ...]] = {}
    for name, value in _members(thing):
        if marks := _marks_of(value):
            names[name] = marks
        elif name in names and not (callable(value) or hasattr(value, "__get__")):
            del names[name]
    return names


def _members(thing: object) -> Iterator[tuple[str, Any]]:
    """What stands in the classes of an object, the base first, and in itself."""
    for kind in reversed(type(thing).__mro__):
        yield from vars(kind).items()
    yield from getattr(thing, "__dict__", {}).items()


def _is_from_elsewhere(value: object, module: ModuleType) -> bool:
    """Whether a function in a module was imported: it is offered by the module that it is written in."""
    return isinstance(value, FunctionType) and value.__module__ != module.__name__


def _marks_of(value: object) -> tuple[_Mark, ...]:
    """The marks of a function, or of what stands for one."""
    if isinstance(value, MethodType):
        return ()  # another object's, which is offered by that one
    try:
        found = vars(value).get(_MARKS, ())
    except TypeError:  # it has no room for any
        return ()
    if not found and isinstance(value, (classmethod, staticmethod)):
        return _marks_of(cast("classmethod[Any, Any, Any]", value).__func__)
    return cast("tuple[_Mark, ...]", found)


def _marking(decorator: str, mark: _Mark) -> Callable[[F], F]:
    def note(fn: F) -> F:
        return _marked(fn, decorator, mark)

    return note


def _marked(given: F, decorator: str, mark: _Mark) -> F:
    """The same function, with a mark more. Raises `RegistrationError` for what can't be called."""
    fn: object = given
    if not _can_be_called(fn):
        written = (
            "a property is read, not called: mark a method"
            if isinstance(fn, property)
            else "it marks a method"
        )
        raise _refused(f"{decorator} was given {fn!r:.60}, which can't be called; {written}")
    noted = (*_marks_of(fn), mark)
    try:
        setattr(fn, _MARKS, noted)
    except (AttributeError, TypeError):
        raise _refused(
            f"{decorator} can't mark {fn!r:.60}, which takes no attributes; wrap it in a def"
        ) from None
    return given


def _can_be_called(fn: object) -> bool:
    """Whether it can be called, as a member of an object if not as it stands."""
    return callable(fn) or isinstance(fn, (classmethod, staticmethod, partialmethod))


def _refuse_text(given: object, decorator: str) -> None:
    if isinstance(given, str):
        raise misused(given, decorator, f"{decorator}(name={given!r})")


def _refused(problem: str) -> RegistrationError:
    return RegistrationError(problem, where=author_line())


def _shown(thing: object) -> str:
    """What a person knows an object by."""
    if isinstance(thing, ModuleType):
        return f"the module {thing.__name__}"
    return f"the {type(thing).__name__} object"
