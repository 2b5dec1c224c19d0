"""The names of `dovetail.codegen` for type checkers. Written by: python tools/public_api.py --write"""

from msgspec import UNSET, UnsetType

from dovetail.codegen.module import generate
from dovetail.codegen.surface import ServerSurface, surface_of
from dovetail.codegen.typed_client import BlockingTypedClient, SurfaceChanged, TypedClient

__all__ = [
    "BlockingTypedClient",
    "ServerSurface",
    "SurfaceChanged",
    "TypedClient",
    "UNSET",
    "UnsetType",
    "generate",
    "surface_of",
]
