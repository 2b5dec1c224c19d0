"""What authors register on an app: tools, resources, prompts, completions, methods, routes, and what others offer.

Decorators give the function back unchanged. Everything that can be wrong with a registration is reported
there and then, naming function, parameter, file and line.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, Unpack, overload

from ..protocol.listening import Change
from ..protocol.types import (
    Annotations,
    Prompt,
    PromptArgument,
    Resource,
    ResourceTemplate,
    Tool,
    ToolAnnotations,
    ToolExecution,
)
from ..protocol.uri_template.template import TemplateError, URITemplate
from ..runtime.dispatch import Handler
from ..runtime.extension import Extension, ExtensionMethod, Extensions, demanding
from ..runtime.hub import Hub
from ..runtime.service import Service
from .access import requirement
from .arguments import ArgumentsPlan
from .catalog import Catalog
from .checks import (
    as_struct,
    check_name,
    check_texts,
    check_timeout,
    check_uri,
    check_variables,
    chosen_tags,
    decorator,
    described,
    described_template,
    known_options,
    misused,
    task_options,
)
from .completion import Completers
from .entries import PromptEntry, ResourceEntry, ToolEntry
from .injection import INJECTABLES
from .keys_and_store import KeysAndStore
from .options import (
    Endpoint,
    Mountable,
    PromptOptions,
    ResourceOptions,
    ToolOptions,
)
from .output import OutputPlan
from .own_methods import MethodEntry, check_method_name
from .registry import Registry
from .running import Runner, RunnerState
from .signature import Plan, RegistrationError, inspect_function, where_of

E = TypeVar("E")
F = TypeVar("F", bound=Callable[..., Any])


class AppEntries:
    """All that is registered on an `App`, and what runs it; the app itself is what serves it.

    ``keys_and_store``: what mounted apps without any follow. The other options are those of `App`. Raises
    `RegistrationError` for a method of an extension that no app can answer.
    """

    _service: Service | None = None
    _endpoint: Endpoint | None = None
    _parts: tuple["AppEntries", ...] = ()

    def __init__(
        self,
        name: str,
        *,
        keys_and_store: KeysAndStore,
        extensions: Extensions,
        page_size: int,
        list_ttl: float,
        timeout: float | None,
        threads: int,
        mask_errors: bool,
        strict: bool,
        replay_check: bool,
    ) -> None:
        self._name, self._keys_and_store, self._extensions = name, keys_and_store, extensions
        self._timeout, self._mask_errors, self._strict = timeout, mask_errors, strict
        self._hub = Hub()
        keys_and_store.relay(self._hub, extensions)
        self._runner_state = RunnerState(
            threads=threads, journals=keys_and_store.journals, replay_check=replay_check
        )
        self._catalog = Catalog(
            self._hub.publish, name=name, page_size=page_size, list_ttl=list_ttl, mask_errors=mask_errors
        )
        self._completers = Completers()
        self._custom: dict[str, MethodEntry] = {}
        self._routes: list[tuple[tuple[str, Callable[..., Any]], dict[str, Any]]] = []
        self._added = self._answered_by(extensions)

    # Tools

    @overload
    def tool(self, fn: F, /) -> F: ...
    @overload
    def tool(self, fn: None = None, /, **options: Unpack[ToolOptions]) -> Callable[[F], F]: ...
    def tool(self, fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Offer a function as a tool; as ``@app.tool`` or with options, which are `ToolOptions`. Raises
        `RegistrationError`.
        """
        if fn is None:
            return decorator(self.add_tool, **options)
        if not callable(fn):
            raise misused(fn, "@app.tool", f"@app.tool(name={fn!r})" if isinstance(fn, str) else "@app.tool")
        self.add_tool(fn, **options)
        return fn

    @known_options("a tool")
    def add_tool(self, fn: Callable[..., Any], **options: Unpack[ToolOptions]) -> None:
        """Offer a function as a tool, at any time; options: `ToolOptions`. Raises `RegistrationError`. Specification:
        server/tools.
        """
        plan = self._plan(fn)
        said = described(plan, options)
        check_name(plan, said["name"])
        strict, annotations = options.get("strict"), options.get("annotations")
        arguments = ArgumentsPlan(
            plan, schema=options.get("input_schema"), strict=self._strict if strict is None else strict
        )
        output = OutputPlan(plan, schema=options.get("output_schema"))
        task = task_options(plan, options.get("task"), can_run=self._extensions.run_tasks)
        tool = Tool(
            **said,
            execution=None if task is None else ToolExecution(task_support=task.support),
            input_schema=arguments.schema,
            output_schema=output.schema,
            annotations=None
            if annotations is None
            else as_struct(plan.refuse, ToolAnnotations, annotations, "annotations="),
        )
        runner = self._runner(plan, options, once=options.get("once", False))
        more: dict[str, Any] = {"mask_errors": self._mask_errors, "extensions": self._extensions}
        entry = ToolEntry(tool, runner, arguments, output, task=task, **more)
        registry, key = self._catalog.tools, tool.name
        version = options.get("version")
        if version is not None or self._catalog.versions is not None:
            from .tool_versions import place_of

            registry, key = place_of(
                plan, tool.name, version, self._catalog, self._own_entries, self._extensions
            )
        self._offer(registry, plan, key, entry, options)

    def remove_tool(self, name: str, *, version: str | None = None) -> None:
        """Stop offering a tool, or one ``version`` of it. Raises KeyError when there is none."""
        if self._catalog.versions is None or not self._catalog.versions.remove(name, version):
            self._catalog.tools.remove(name if version is None else f"{name} in the version {version}")

    # Resources

    @known_options("a resource")
    def resource(self, uri: str, **options: Unpack[ResourceOptions]) -> Callable[[F], F]:
        """Offer a function as a resource, or with variables in the URI (RFC 6570) as a template.

        Options: `ResourceOptions`. Raises `RegistrationError`.
        """
        if not isinstance(uri, str):  # pyright: ignore[reportUnnecessaryIsInstance] - authors' code is not always checked
            raise misused(
                uri, "@app.resource", "@app.resource('notes://today'), with the URI of the resource"
            )
        return decorator(self.add_resource, uri, **options)

    @known_options("a resource")
    def add_resource(self, fn: Callable[..., Any], uri: str, **options: Unpack[ResourceOptions]) -> None:
        """Offer a resource or template, at any time; options: `ResourceOptions`. The function's parameters are the
        variables of the template. Raises `RegistrationError`. Specification: server/resources.
        """
        plan = self._plan(fn)
        check_texts(plan.refuse, mime_type=options.get("mime_type"))
        try:
            template = URITemplate(uri)
        except TemplateError as problem:
            raise plan.refuse(str(problem)) from None
        said = described_template(plan, options, template.variables)
        check_uri(plan, template)
        check_variables(plan, template)
        scope, annotations = options.get("scope", "private"), options.get("annotations")
        if scope == "public" and requirement(plan, options.get("scopes"), options.get("allow")) is not None:
            raise plan.refuse("what not everyone may read is not public; leave scope out")
        said["mime_type"] = options.get("mime_type")
        if annotations is not None:
            said["annotations"] = as_struct(plan.refuse, Annotations, annotations, "annotations=")
        runner = self._runner(plan, options)
        kept: dict[str, Any] = {
            "ttl": options.get("ttl", 0.0),
            "scope": scope,
            "mask_errors": self._mask_errors,
        }
        if template.is_static:
            resource = Resource(uri=uri, size=options.get("size"), **said)
            self._offer(self._catalog.resources, plan, uri, ResourceEntry(resource, runner, **kept), options)
        else:
            entry = ResourceEntry(
                ResourceTemplate(uri_template=uri, **said), runner, template=template, **kept
            )
            if (other := self._catalog.twin_of(template)) is not None:
                raise plan.refuse(
                    f"the template {uri!r} reads the same URIs as {other.template!r}, which is first and would be asked"
                    " alone; give it another path, or take the other one out with remove_resource"
                )
            self._offer(self._catalog.templates, plan, uri, entry, options)

    def remove_resource(self, uri: str) -> None:
        """Stop offering a resource or template. Raises KeyError when there is none."""
        registry = self._catalog.resources if self._catalog.resources.get(uri) else self._catalog.templates
        registry.remove(uri)

    def resource_updated(self, uri: str) -> None:
        """Tell the clients that subscribed to a resource that it changed. May be called from any task or thread."""
        self._hub.publish(Change("resource", uri))

    # Prompts

    @overload
    def prompt(self, fn: F, /) -> F: ...
    @overload
    def prompt(self, fn: None = None, /, **options: Unpack[PromptOptions]) -> Callable[[F], F]: ...
    def prompt(self, fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Offer a function as a prompt; as ``@app.prompt`` or with options, which are `PromptOptions`. Raises
        `RegistrationError`.
        """
        if fn is None:
            return decorator(self.add_prompt, **options)
        if not callable(fn):
            raise misused(
                fn, "@app.prompt", f"@app.prompt(name={fn!r})" if isinstance(fn, str) else "@app.prompt"
            )
        self.add_prompt(fn, **options)
        return fn

    @known_options("a prompt")
    def add_prompt(self, fn: Callable[..., Any], **options: Unpack[PromptOptions]) -> None:
        """Offer a prompt, at any time; options: `PromptOptions`. Raises `RegistrationError`. Specification:
        server/prompts.

        The function gives text, messages (also as dicts with ``role`` and ``content``), content blocks, data for JSON,
        or a list of those.
        """
        plan = self._plan(fn)
        arguments = [
            PromptArgument(name=each.name, description=each.description or None, required=each.required)
            for each in plan.inputs
        ]
        prompt = Prompt(**described(plan, options), arguments=arguments or None)
        self._completers.check(plan, prompt)
        entry = PromptEntry(prompt, self._runner(plan, options), mask_errors=self._mask_errors)
        self._offer(self._catalog.prompts, plan, prompt.name, entry, options)

    def remove_prompt(self, name: str) -> None:
        """Stop offering a prompt. Raises KeyError when there is none of that name."""
        self._catalog.prompts.remove(name)

    # What others offer

    @known_options("App.mount")
    def mount(self, prefix: str | None, what: Mountable, *transforms: Callable[[Any], Any]) -> None:
        """Offer what another app, or any `dovetail.providers.Provider`, offers; before the app runs.

        ``prefix``: what its names begin with from now on, so that they are not taken for others: its tool ``find``
        becomes ``prefix_find``, its resource ``shop://books`` becomes ``shop://prefix/books``. None leaves names alone;
        of several things with one name the first is used, the app's own before all. ``transforms`` change what is
        shown, the first one first, and all before the prefix is put on (`dovetail.providers`).

        It stays what it is: what it adds and removes later is seen here too, and its middleware, dependencies and state
        are its own. Its lifespan is entered before this app's. An app that was given neither keys nor a store uses
        those of this one. Its own methods and routes are not taken over. Raises `RegistrationError`.
        """
        from .mounting import mount

        circular = isinstance(what, AppEntries) and what._is_made_of(self)
        late = self._service is not None and self._service.started
        more: dict[str, Any] = {"extensions": self._extensions, "circular": circular, "late": late}
        more["runner_state"] = self._runner_state
        mount(self._catalog, self._own_entries(), prefix, what, transforms, **more)
        if isinstance(what, AppEntries):
            self._parts = (*self._parts, what)
            what._keys_and_store.follow(self._keys_and_store)
        self._service = None

    def _is_made_of(self, other: "AppEntries") -> bool:
        return other is self or any(part._is_made_of(other) for part in self._parts)

    def _own_entries(self) -> Any:
        from .providers.own_entries import OwnEntries

        return OwnEntries(self._name, self._catalog, self._completers)

    def include(self, thing: object, /, *, prefix: str = "") -> None:
        """Offer what is marked of an object, or in a module: methods and functions under `dovetail.tool`,
        `dovetail.resource`, `dovetail.prompt` and `dovetail.completion`. May be called at any time.

        ``prefix``: put before the names of its tools and prompts, so that several objects of a class can be included.
        Raises `RegistrationError`, for a class in place of an object and where nothing is marked too; then nothing of
        it is offered.
        """
        from .including import include

        include(self, thing, prefix)

    # Completion, custom methods

    def completion(self, ref: str, argument: str) -> Callable[[F], F]:
        """Suggest values for an argument of a prompt (``ref``: its name) or a variable of a template
        (``ref``: the template).

        The function takes what is typed so far and gives texts. It may stand before its prompt or after it. Raises
        `RegistrationError`, also for an argument that is not there. Specification: server/utilities/completion.
        """
        if not isinstance(ref, str):  # pyright: ignore[reportUnnecessaryIsInstance] - authors' code is not always checked
            raise misused(ref, "@app.completion", "@app.completion('prompt or template', 'argument')")

        def register(fn: F) -> F:
            entry = self._catalog.prompts.get(ref)
            runner = self._runner(self._plan(fn), {})
            self._completers.add(ref, argument, runner, None if entry is None else entry.prompt)
            return fn

        return register

    def remove_completion(self, ref: str, argument: str) -> None:
        """Suggest no values for an argument any more. Raises KeyError when there were none."""
        self._completers.remove(ref, argument)

    def method(self, name: str, /, *, timeout: float | None = None) -> Callable[[F], F]:
        """Answer a method of your own, with a function like a tool's; register it before the app runs.

        Its parameters are the members of ``params``, by name; one that is called ``params`` gets them all. Context,
        principal and dependencies are filled as for tools. It returns the result, an object (dict, dataclass, model),
        or None for an empty one. ``timeout``: seconds, else the app's. Raises `RegistrationError`. Bad parameters are
        answered with -32602. Specification: basic/index, "Messages".
        """
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - authors' code is not always checked
            raise misused(
                name, "@app.method", "@app.method('com.example/search'), with the name of the method"
            )

        def register(fn: F) -> F:
            plan = self._plan(fn)
            check_method_name(plan, name)
            if name in self._added:
                raise plan.refuse(f"the method {name!r} is answered already, by an extension")
            if (other := self._custom.get(name)) is not None:
                raise plan.refuse(
                    f"the method {name!r} is answered already, by {other.plan.name}() in {other.plan.where}"
                )
            runner = self._runner(plan, {"timeout": timeout})
            self._custom[name] = MethodEntry(name, runner)
            self._service = None
            return fn

        return register

    def custom_route(
        self, path: str, *, methods: Sequence[str] = ("GET",), protected: bool = True
    ) -> Callable[[F], F]:
        """Answer plain HTTP beside the endpoint: ``async def fn(request: Request)``, below wherever the app is
        mounted. Not on stdio and unix sockets, which have no paths.

        ``path``: fixed segments and ``{names}`` for whole ones, which are in ``request.path_params``. The function
        gives a `Response`; text, bytes, or what is sent as JSON; None (204); or any ASGI application, which then
        answers. One that is not async runs in a thread. Host and Origin are judged as for the endpoint. ``protected``:
        where the app is, callers have to be authenticated here too; False lets anyone in. Raises `RegistrationError`
        for a path or a method that is none, and for one that is taken.
        """

        def register(fn: F) -> F:
            from ..transports.http_server.routes import Route, in_order

            where = where_of(fn)
            more: dict[str, Any] = {"methods": methods, "protected": protected, "where": where}
            try:
                routes = [Route(*each, **rest) for each, rest in self._routes]
                in_order([*routes, Route(path, fn, **more)], taken=())
            except ValueError as problem:
                raise RegistrationError(str(problem).removeprefix(f"{where}: "), where=where) from None
            self._routes.append(((path, fn), more))
            self._endpoint = None
            return fn

        return register

    @property
    def overrides(self) -> dict[Any, Callable[..., Any]]:
        """Dependencies to use in place of others: ``app.overrides[real] = fake``, for tests."""
        return self._runner_state.overrides

    def _runner(self, plan: Plan, options: PromptOptions, *, once: bool = False) -> Runner:
        single_use, timeout = options.get("single_use", False), options.get("timeout")
        if single_use or once:
            self._keys_and_store.check_single_use(plan)
        check_timeout(plan.refuse, timeout)
        seconds = timeout if timeout is not None else self._timeout
        return Runner(plan, self._runner_state, timeout=seconds, single_use=single_use, once=once)

    def _offer(self, registry: Registry[E], plan: Plan, key: str, entry: E, options: PromptOptions) -> None:
        needed = requirement(plan, options.get("scopes"), options.get("allow"))
        tags = chosen_tags(plan, options.get("tags"))
        registry.add(plan, key, entry, needed, tags=tags, replace=options.get("replace", False))

    def _plan(self, fn: Callable[..., Any]) -> Plan:
        return inspect_function(fn, injectables=INJECTABLES)

    def _answered_by(self, extensions: Extensions) -> dict[str, Handler]:
        return {method.name: self._answering(each, method) for each in extensions for method in each.methods}

    def _answering(self, extension: Extension, method: ExtensionMethod) -> Handler:
        """What answers a method of an extension. Raises `RegistrationError`."""
        if method.answer is not None:
            return demanding(extension, method.answer) if method.declared else method.answer
        if method.handler is None:
            raise RegistrationError(
                f"the extension {extension.identifier} has no handler for {method.name!r}, so an app can't answer it"
            )
        plan = self._plan(method.handler)
        check_method_name(plan, method.name)
        answer = MethodEntry(method.name, Runner(plan, self._runner_state, timeout=self._timeout)).answer
        return demanding(extension, answer) if method.declared else answer
