"""From an entry to what a client is made of: variables and secrets get their values, here and nowhere before.

Specification: basic/transports.
"""

from typing import Any

from ...client import ClientOptions
from .definitions import ServerDefinition
from .errors import ConfigurationError
from .secrets import keyring_reader
from .variables import Variables

__all__ = ["resolve"]


def resolve(
    definition: ServerDefinition, variables: Variables | None = None
) -> tuple[str | list[str], ClientOptions]:
    """The target of a client, and its options: ``Client(target, **options)``. ``variables``: where values come from
    (default: the environment of this process, and the keyring of the system). Nothing is started, and whether the
    person agreed to the entry is not asked: see `Approvals.check`. Raises `VariableMissing`, `SecretsUnavailable`,
    `ConfigurationError` for a server that is switched off, and ImportError, which names the extra, for a secret
    without the package keyring.
    """
    if not definition.enabled:
        raise ConfigurationError(f"the server {definition.name!r} is switched off in the configuration")
    values = variables or Variables(secrets=keyring_reader(definition.name))
    syntax = definition.syntax
    where = f"the server {definition.name!r}"

    def said(text: str) -> str:
        return values.expand(text, syntax, where)

    options: dict[str, Any] = {}
    if definition.transport != "stdio":
        if definition.headers:
            options["headers"] = {name: said(each) for name, each in definition.headers.items()}
        return said(definition.url), ClientOptions(**options)
    if definition.env:
        options["env"] = {name: said(each) for name, each in definition.env.items()}
    if definition.cwd:
        options["cwd"] = said(definition.cwd)
    return [said(each) for each in definition.command_line], ClientOptions(**options)
