"""A directory of Python files, whose marked functions are offered.

Theory of operation. It is an app, so what is in the files is registered, described and called as anything of an app is,
and it is mounted as one. Each file is a module (`private_modules`) and is included by itself: one that fails costs only
what is in it. When any file changes all are loaded anew, so that what one imports from another is of the same time;
then, in one turn of the event loop, what was offered is taken back and what there is now is offered. A file that can't
be loaded any more goes on offering what it did.

Specification: server/tools, server/resources, server/prompts.
"""

import asyncio
import time
import traceback
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from os import PathLike
from types import ModuleType
from typing import Any, Final

from ..logs import get_logger
from .app import App, Lifespan
from .including import include_marked
from .private_modules import PrivatePackage
from .providers.file_tree import MAX_WATCHED, FileTree
from .signature import RegistrationError

__all__ = ["PythonFiles", "watch_in_development"]

log = get_logger("dovetail.server")

_SHARE: Final = 20
_Loaded = dict[str, "ModuleType | BaseException"]
_in_development: list[float] = []


def watch_in_development(interval: float) -> None:
    """Have all directories looked at from now on, every so many seconds, also those that say nothing of it."""
    _in_development[:] = [interval]


class PythonFiles(App):
    """The functions in the Python files below ``path`` that are marked by `dovetail.tool`, `dovetail.resource`,
    `dovetail.prompt` and `dovetail.completion`, as an app to `App.mount`.

    Names are those that the marks say: folders are no part of them. Files and folders whose names begin with ``_``
    offer nothing, but others may import from them, relatively (``from ._prices import price``). Links and hidden files
    are neither loaded nor imported. A file that can't be loaded, or offers what another one does, is told in the log;
    the others are offered.

    ``watch``: seconds between two looks for changes (None: no looks; `dovetail dev` looks all the same). ``name``: the
    app's (default: that of the directory). ``options``: those of `App`; there is no ``rate_limit`` by default, since
    that of the app on which it is mounted counts. Raises ValueError for a path that is no directory.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        name: str | None = None,
        watch: float | None = None,
        lifespan: Lifespan | None = None,
        rate_limit: float | None = None,
        **options: Any,
    ) -> None:
        if watch is not None and watch <= 0:
            raise ValueError("watch is above 0 seconds, or None")
        self._tree = FileTree(path, "**/*.py")
        self._own_lifespan = lifespan
        super().__init__(
            name or self._tree.root.name, lifespan=self._watching, rate_limit=rate_limit, **options
        )
        self._watch = watch
        self._known = self._tree.snapshot()
        self._modules: dict[str, ModuleType] = {}
        self._undo: list[Callable[[], None]] = []
        self._failures: dict[str, str] = {}
        self._packages: dict[str, PrivatePackage] = {}
        self._offer_all(*self._load(self._known or {}))

    # Loading

    def _load(self, seen: Mapping[str, int]) -> tuple[PrivatePackage, _Loaded]:
        """All files that offer something, anew. This blocks: it runs the authors' code."""
        package = PrivatePackage(self._tree.root)
        loaded: _Loaded = {}
        for path in sorted(seen, key=lambda each: each.split("/")):
            if not any(part.startswith("_") for part in path.split("/")):
                try:
                    loaded[path] = package.load(path)
                except (Exception, SystemExit) as problem:  # noqa: BLE001 - whatever it is, it is that file's
                    loaded[path] = problem
        return package, loaded

    def _offer_all(self, package: PrivatePackage, loaded: _Loaded) -> None:
        """Offer what is in the files in place of what was."""
        self._packages[package.name] = package
        for undo in reversed(self._undo):
            with suppress(KeyError):  # somebody else took it out
                undo()
        before, self._modules, self._undo = self._modules, {}, []
        for path, module in loaded.items():
            problem = module if isinstance(module, BaseException) else self._offer_one(path, module)
            kept = before.get(path) if problem is not None else None
            if kept is not None and self._offer_one(path, kept) is not None:
                kept = None
            self._tell(path, problem, "goes on offering what it did" if kept else "offers nothing")
        self._failures = {path: said for path, said in self._failures.items() if path in loaded}
        in_use = {module.__name__.partition(".")[0] for module in self._modules.values()}
        for name in self._packages.keys() - in_use:
            self._packages.pop(name).close()

    def _offer_one(self, path: str, module: ModuleType) -> RegistrationError | None:
        """Offer what is marked in a module. What it was refused for, if it was."""
        try:
            self._undo += include_marked(self, module)
        except RegistrationError as problem:
            return problem
        self._modules[path] = module
        return None

    def _tell(self, path: str, problem: BaseException | None, so: str) -> None:
        """Log what became of a file, once."""
        if problem is None:
            if self._failures.pop(path, None) is not None:
                log.info("%s can be loaded again", self._tree.root / path)
            return
        said = f"{type(problem).__name__}: {problem}"
        if self._failures.get(path) != said:
            self._failures[path] = said
            log.error(
                "%s can't be loaded, and %s: %s", self._place(path, problem), so, said, exc_info=problem
            )

    def _place(self, path: str, problem: BaseException) -> str:
        """The innermost line of the files that a problem is in."""
        if isinstance(problem, SyntaxError) and problem.filename is not None:
            return f"{problem.filename}:{problem.lineno}"
        folder = str(self._tree.root / "")
        for frame, line in reversed(list(traceback.walk_tb(problem.__traceback__))):
            if frame.f_code.co_filename.startswith(folder):
                return f"{frame.f_code.co_filename}:{line}"
        return str(self._tree.root / path)

    # Its life

    @asynccontextmanager
    async def _watching(self, app: App) -> AsyncGenerator[Any]:
        interval = self._watch or next(iter(_in_development), None)
        async with AsyncExitStack() as stack:
            state = (
                None
                if self._own_lifespan is None
                else await stack.enter_async_context(self._own_lifespan(app))
            )
            if interval is None:
                yield state
                return
            watching = asyncio.create_task(self._look_on(interval), name="dovetail-watched-python-files")
            try:
                yield state
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

    async def _look_on(self, interval: float) -> None:
        spent = 0.0
        while True:
            await asyncio.sleep(max(interval, _SHARE * spent))
            began = time.monotonic()
            now = await asyncio.to_thread(self._tree.snapshot)
            spent = time.monotonic() - began
            if now is None or self._known is None:
                log.warning("%s has more than %d files: changes are not seen", self._tree.root, MAX_WATCHED)
                return
            if now != self._known:
                self._known = now
                self._offer_all(*await asyncio.to_thread(self._load, now))
