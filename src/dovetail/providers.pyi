"""The names of `dovetail.providers` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.server.catalog import ListKind
from dovetail.server.providers.files import Files
from dovetail.server.providers.provider import AskingRunner, Offer, Provided, ProvidedPage, Provider
from dovetail.server.providers.ready import (
    Argument,
    Described,
    Sees,
    arguments,
    describe,
    hide,
    map_results,
    namespace,
    only,
    rename,
    tag,
    versions,
    visible,
)
from dovetail.server.providers.transform import Transform
from dovetail.server.python_files import PythonFiles

__all__ = [
    "Argument",
    "AskingRunner",
    "Described",
    "Files",
    "ListKind",
    "Offer",
    "Provided",
    "ProvidedPage",
    "Provider",
    "PythonFiles",
    "Sees",
    "Transform",
    "arguments",
    "describe",
    "hide",
    "map_results",
    "namespace",
    "only",
    "rename",
    "tag",
    "versions",
    "visible",
]
