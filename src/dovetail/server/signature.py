"""Reading an author's function: which parameters are input, which the server fills, and how to call it.

Theory of operation. Everything is decided once, when the function is registered. A parameter is a *slot*,
filled by the server, if its annotation says so: a type the caller names as injectable, or ``Annotated[T,
Depends(...)]`` and ``Annotated[T, Ask(...)]``. Every other parameter is *input* and becomes part of the
schema. Names decide nothing.

Annotations written as strings are resolved in the function's module, its closure and, for types local to a
function that is registered while it runs, in that function's variables. What cannot be served is refused
here, with the function, the parameter, the file and the line; never at call time.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Annotated, Any, Final, Literal, TypeAlias, cast, get_args, get_origin

from msgspec import Struct

from ..protocol.errors import DovetailError
from . import hints, pydantic_models
from .defaults import fresh
from .docstrings import Docstring, parse_docstring
from .hints import MISSING, alias_value
from .markers import Ask, Depends

__all__ = [
    "MISSING",
    "Parameter",
    "Plan",
    "RegistrationError",
    "Slot",
    "author_line",
    "inspect_function",
    "not_callable",
    "where_of",
]

Flavor: TypeAlias = Literal["sync", "async", "generator", "async generator"]
_MAX_FRAMES: Final = 64
_MAX_PARAMETERS: Final = 250
_ABBREVIATED: Final = {"Context": ("ctx", "context"), "Principal": ("principal", "caller")}
"""Names by which people call what is injected."""


class RegistrationError(DovetailError, TypeError):
    """A function cannot be served as it is written.

    ``function``: its name. ``parameter``: the name of the parameter or None. ``where``: ``"file:line"``.
    ``problem``: what is wrong and what to do.
    """

    retry_safe = True

    def __init__(
        self, problem: str, *, function: str = "", parameter: str | None = None, where: str = ""
    ) -> None:
        subject = f"{function}()" if function else ""
        if parameter is not None:
            subject = f"{subject}, parameter {parameter!r}" if subject else f"parameter {parameter!r}"
        super().__init__(": ".join(part for part in (where, subject, problem) if part))
        self.problem = problem
        self.function = function
        self.parameter = parameter
        self.where = where


class Parameter(Struct, frozen=True):
    """An input parameter. ``default`` is MISSING where there is none; ``description`` may be "". ``factory``: what
    makes the value where none is given, or None.
    """

    name: str
    annotation: Any
    default: Any = MISSING
    description: str = ""
    factory: Callable[[], Any] | None = None

    @property
    def required(self) -> bool:
        """Whether the caller has to give it."""
        return self.default is MISSING and self.factory is None

    def value(self) -> Any:
        """What a call has that does not give it: made for this call, if it can be changed."""
        return fresh(self.default) if self.factory is None else self.factory()


class Slot(Struct, frozen=True):
    """A parameter that the server fills.

    ``kind``: what the caller registered for the type, or the `Depends` or `Ask` itself. ``annotation``: the
    type without markers. ``optional``: None is welcome where there is no value.
    """

    name: str
    kind: Any
    annotation: Any
    default: Any = MISSING
    optional: bool = False


class Plan(Struct, frozen=True):
    """How to serve a function.

    ``inputs`` and ``slots`` stand in the order of the signature. ``returns`` is the annotation of the result
    or MISSING. ``invoke(values, filled)`` calls the function with one value for each input and one for each
    slot.
    """

    function: Callable[..., Any]
    name: str
    where: str
    docstring: Docstring
    inputs: tuple[Parameter, ...]
    slots: tuple[Slot, ...]
    returns: Any
    flavor: Flavor
    invoke: Callable[[tuple[Any, ...], tuple[Any, ...]], Any]

    @property
    def is_async(self) -> bool:
        """Whether calling gives an awaitable."""
        return self.flavor == "async"

    def refuse(self, problem: str, parameter: str | None = None) -> RegistrationError:
        """The error that names this function."""
        return RegistrationError(problem, function=self.name, parameter=parameter, where=self.where)


def inspect_function(function: Callable[..., Any], *, injectables: Mapping[type, Any] | None = None) -> Plan:
    """Read a function, method, partial or callable object.

    ``injectables`` maps a type to the ``kind`` of slot that parameters annotated with it (or a subclass of
    it, or it ``| None``) become. Raises `RegistrationError`.
    """
    code_owner = _code_owner(function)
    name = _name(function, code_owner)
    where = _where(code_owner) or author_line()

    def refuse(problem: str, parameter: str | None = None) -> RegistrationError:
        return RegistrationError(problem, function=name, parameter=parameter, where=where)

    if not callable(function):
        if not isinstance(function, classmethod):
            name = ""
        raise refuse(not_callable(function))
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError) as problem:
        raise refuse(f"has no readable signature ({problem}); wrap it in a def") from None
    if len(signature.parameters) > _MAX_PARAMETERS:
        raise refuse(f"has more than {_MAX_PARAMETERS} parameters")
    scope = _Scope(code_owner)
    docstring = parse_docstring(_doc(function, code_owner))
    bound = getattr(function, "keywords", ()) if _is_partial(function) else ()
    inputs: list[Parameter] = []
    slots: list[Slot] = []
    order: list[tuple[inspect.Parameter, bool]] = []
    for parameter in signature.parameters.values():
        if parameter.name in bound:
            continue
        _refuse_shape(parameter, code_owner, injectables or {}, refuse)
        annotation = scope.resolve(parameter.annotation, lambda text, p=parameter: refuse(text, p.name))
        default = MISSING if parameter.default is inspect.Parameter.empty else parameter.default
        slot = _as_slot(parameter.name, annotation, default, injectables or {}, refuse)
        if slot is not None:
            slots.append(slot)
        else:
            inputs.append(_input(parameter.name, annotation, default, docstring, refuse))
        order.append((parameter, slot is not None))
    returns: Any = MISSING
    if signature.return_annotation is not inspect.Signature.empty:
        returns = scope.resolve(
            signature.return_annotation, lambda text: refuse(f"return annotation: {text}")
        )
    return Plan(
        function=function,
        name=name,
        where=where,
        docstring=docstring,
        inputs=tuple(inputs),
        slots=tuple(slots),
        returns=returns,
        flavor=_flavor(function),
        invoke=_invoker(function, order, len(inputs)),
    )


def _input(
    name: str,
    annotation: Any,
    default: Any,
    docstring: Docstring,
    refuse: Callable[[str, str | None], RegistrationError],
) -> Parameter:
    """An input; ``x: T = Field(...)`` is taken for the annotation and the default that it means."""
    factory: Callable[[], Any] | None = None
    if pydantic_models.is_field(default):
        annotation, field = Annotated[annotation, default], default
        if field.default_factory is not None and field.default_factory_takes_validated_data:
            raise refuse("its default_factory takes other values, which a parameter does not have", name)
        factory = field.default_factory
        default = MISSING if field.is_required() or factory is not None else field.default
    text = hints.described(hints.markers_of(annotation)) or docstring.parameters.get(name, "")
    return Parameter(name, annotation, default, text, factory)


def _refuse_shape(
    parameter: inspect.Parameter,
    owner: Any,
    injectables: Mapping[type, Any],
    refuse: Callable[[str, str | None], RegistrationError],
) -> None:
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        raise refuse("*args cannot be described in a schema; take a list instead", "*" + parameter.name)
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        raise refuse(
            "**kwargs cannot be described in a schema; take a dict, or name the parameters",
            "**" + parameter.name,
        )
    if parameter.annotation is inspect.Parameter.empty:
        raise refuse(_unannotated(parameter.name, owner, injectables), parameter.name)
    if isinstance(parameter.default, Depends | Ask):
        kind = type(parameter.default).__name__
        raise refuse(
            f"{kind}(...) belongs into the annotation: `{parameter.name}: Annotated[T, {kind}(...)]`",
            parameter.name,
        )


def _unannotated(name: str, owner: Any, injectables: Mapping[type, Any]) -> str:
    """What to write for a parameter without annotation; names hint at it, and decide nothing."""
    outside, _, function = str(getattr(owner, "__qualname__", "")).rpartition(".")
    if name in ("self", "cls") and outside and not outside.endswith("<locals>"):
        kind = outside.rpartition(".")[2]
        holder = f"{kind}()" if name == "self" else kind
        return (
            f"is a method of {kind}, of which there is no object yet where the class is being written; register the"
            f" bound method afterwards, as in `app.add_tool({holder}.{function})` (or add_resource, add_prompt), or"
            f" mark it with dovetail's @tool and write `app.include({kind}())`"
        )
    for kind in injectables:
        if name in _ABBREVIATED.get(kind.__name__, ()):
            return (
                f"has no annotation; to be given the {kind.__name__} of the call write `{name}: {kind.__name__}`"
                f" (from {kind.__module__.partition('.')[0]} import {kind.__name__})"
            )
    return f"has no annotation; write its type, as in `{name}: str`, or `{name}: Any` if it may be anything"


def not_callable(function: Any) -> str:
    """What to say of something that cannot be called."""
    if isinstance(function, classmethod):
        return (
            "is a classmethod of a class that is still being written; register it afterwards, as in"
            " `app.add_tool(TheClass.the_method)`"
        )
    return f"{function!r:.100} is not callable; give a function"


def _as_slot(
    name: str,
    annotation: Any,
    default: Any,
    injectables: Mapping[type, Any],
    refuse: Callable[[str, str | None], RegistrationError],
) -> Slot | None:
    plain = alias_value(annotation)
    while get_origin(plain) is Annotated:
        inner, *marks = get_args(plain)
        found = [mark for mark in marks if isinstance(mark, Depends | Ask)]
        if any(mark is Depends or mark is Ask for mark in marks):
            raise refuse("Depends and Ask need their argument: Depends(function), Ask('question')", name)
        if len(found) > 1:
            raise refuse("can be filled in one way only; keep one of Depends(...) and Ask(...)", name)
        if found:
            if isinstance(found[0], Depends) and not callable(found[0].provider):
                raise refuse("Depends(...) takes a function", name)
            kept = tuple(mark for mark in marks if mark is not found[0])
            return Slot(name, found[0], Annotated[(inner, *kept)] if kept else inner, default)
        plain = alias_value(inner)
    members = [alias_value(each) for each in _union_members(plain)]
    matches = [kind for each in members if (kind := _injectable(each, injectables)) is not MISSING]
    if not matches:
        return None
    if len(matches) > 1 or any(
        each is not type(None) and _injectable(each, injectables) is MISSING for each in members
    ):
        raise refuse(
            "mixes an injected type with others in one union; annotate it with the injected type alone", name
        )
    return Slot(name, matches[0], plain, default, optional=type(None) in members)


def _union_members(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return get_args(annotation)
    return (annotation,)


def _injectable(annotation: Any, injectables: Mapping[type, Any]) -> Any:
    kind = get_origin(annotation) or annotation
    if not isinstance(kind, type):
        return MISSING
    for base in kind.__mro__[:-1]:
        if base in injectables:
            return injectables[base]
    return MISSING


def _invoker(
    function: Callable[..., Any], order: list[tuple[inspect.Parameter, bool]], count: int
) -> Callable[[tuple[Any, ...], tuple[Any, ...]], Any]:
    """A call that takes the inputs and the slots apart from each other and puts each where it belongs."""
    places: list[int] = []
    given = filled = 0
    for _, is_slot in order:
        places.append(count + filled if is_slot else given)
        filled, given = filled + is_slot, given + (not is_slot)
    keyword = [parameter.name for parameter, _ in order if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
    positional = len(order) - len(keyword)
    if not keyword and not filled:
        return lambda values, _filled: function(*values)
    if not keyword and places == list(range(len(places))):
        return lambda values, slots: function(*values, *slots)
    if not keyword and places == [*range(count, len(places)), *range(count)]:
        return lambda values, slots: function(*slots, *values)
    if not keyword:
        pick = itemgetter(*places)
        return lambda values, slots: function(*pick(values + slots))
    first, rest = places[:positional], list(zip(keyword, places[positional:], strict=True))

    def call(values: tuple[Any, ...], slots: tuple[Any, ...]) -> Any:
        every = values + slots
        return function(*[every[place] for place in first], **{name: every[place] for name, place in rest})

    return call


def _flavor(function: Callable[..., Any]) -> Flavor:
    target: Any = function
    while isinstance(target, functools.partial):
        target = cast("functools.partial[Any]", target).func
    if not inspect.isroutine(target) and not isinstance(target, type):
        target = type(target).__call__
    if inspect.iscoroutinefunction(target):
        return "async"
    if inspect.isasyncgenfunction(target):
        return "async generator"
    return "generator" if inspect.isgeneratorfunction(target) else "sync"


def _is_partial(function: object) -> bool:
    return isinstance(function, functools.partial)


def _code_owner(function: Any) -> Any:
    """The function whose source the author wrote, below whatever it is wrapped in.

    Unwraps partials, decorators, methods and callable objects.
    """
    for _ in range(_MAX_FRAMES):
        if isinstance(function, functools.partial):
            function = cast("functools.partial[Any]", function).func
        elif isinstance(function, types.MethodType):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif inspect.isclass(function):
            constructor: Any = cast("Any", function).__init__
            return constructor if isinstance(constructor, types.FunctionType) else cast("Any", function)
        elif not isinstance(function, types.FunctionType) and isinstance(
            call := inspect.getattr_static(cast("type[Any]", type(function)), "__call__", None),
            types.FunctionType,
        ):
            function = call
        else:
            break
    return function


def _name(function: Any, owner: Any) -> str:
    """What a function is called; an object that can be called, by its class, and a class by its own name."""
    name: str | None = getattr(owner, "__name__", None)
    if name in ("__call__", "__init__"):
        while isinstance(function, functools.partial):
            function = cast("functools.partial[Any]", function).func
        if getattr(function, "__name__", name) != name:
            return str(function.__name__)
        if not inspect.ismethod(function):
            return type(function).__name__
    return name or str(type(function).__name__)


def author_line() -> str:
    """The ``"file:line"`` of the innermost running code that is not ours."""
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage] - no other way to running frames
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("dovetail."):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def where_of(function: Any) -> str:
    """``"file:line"`` of a function, "" where nobody knows."""
    return _where(_code_owner(function))


def _where(owner: Any) -> str:
    code = getattr(owner, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""


def _doc(function: Any, owner: Any) -> str | None:
    doc = getattr(owner, "__doc__", None)
    if doc is None and not isinstance(function, functools.partial):
        doc = getattr(function, "__doc__", None)
    return doc if isinstance(doc, str) else None


class _Scope:
    """Where the names in a function's annotations are looked up."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner
        self._globals: dict[str, Any] = getattr(owner, "__globals__", None) or vars(
            sys.modules.get(getattr(owner, "__module__", "") or "", types)
        )
        self._locals: dict[str, Any] = {}
        code = getattr(owner, "__code__", None)
        for name, cell in zip(
            getattr(code, "co_freevars", ()), getattr(owner, "__closure__", None) or (), strict=False
        ):
            try:
                self._locals[name] = cell.cell_contents
            except ValueError:
                continue  # not assigned yet, as with a class that names itself
        for parameter in getattr(owner, "__type_params__", ()):
            self._locals.setdefault(parameter.__name__, parameter)

    def resolve(self, annotation: Any, refuse: Callable[[str], RegistrationError]) -> Any:
        """The annotation as a type, markers kept. Raises what ``refuse`` makes."""
        for names in self._namespaces():
            try:
                return _evaluate(annotation, self._globals, names)
            except NameError:
                continue
            except Exception as problem:
                raise refuse(
                    f"the annotation {_written(annotation)} cannot be evaluated: {problem}"
                ) from problem
        raise refuse(
            f"the annotation {_written(annotation)} uses a name that is not known where the function is;"
            " import it at run time (not only for type checkers), or define it before the function"
        )

    def _namespaces(self) -> Iterator[dict[str, Any]]:
        yield self._locals
        outer = str(getattr(self._owner, "__qualname__", "")).rpartition(".<locals>.")[0]
        frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage] - no other way to running frames
        for _ in range(_MAX_FRAMES):
            back = frame.f_back
            if back is None:
                return
            frame = back
            if outer and frame.f_code.co_qualname == outer and frame.f_globals is self._globals:
                yield {**frame.f_locals, **self._locals}


def _evaluate(annotation: Any, module: dict[str, Any], names: dict[str, Any]) -> Any:
    """Evaluate one annotation, strings inside of it included, with the rules of `typing.get_type_hints`."""

    def holder() -> None: ...

    holder.__annotations__ = {"it": annotation}
    return typing.get_type_hints(holder, globalns=module, localns=names, include_extras=True)["it"]


def _written(annotation: Any) -> str:
    return f"{annotation!r}"[:200]
