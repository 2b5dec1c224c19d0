"""Secrets of servers in the keyring of the system: Keychain, Credential Locker, Secret Service.

An entry of our own configuration says ``${keyring:NAME}`` where the value belongs; it is read when the server is
opened, and stands in no file. A keyring that writes a file in clear is refused.

Specification: none.
"""

from collections.abc import Callable
from typing import Any, Final

from .errors import SecretsUnavailable

__all__ = ["ServerSecrets", "keyring_reader"]

_SERVICE: Final = "dovetail servers"


class ServerSecrets:
    """The secrets of configured servers, each under the name of its server and its own.

    ``service``: the name they stand under. Raises ImportError, which names the extra, without the package keyring, and
    `SecretsUnavailable` where the system has no keyring.
    """

    def __init__(self, service: str = _SERVICE) -> None:
        self._keyring = _keyring()
        self._service = service
        backend: object = self._keyring.get_keyring()
        kind = f"{type(backend).__module__}.{type(backend).__qualname__}"
        if ".fail." in kind or ".null." in kind:
            raise SecretsUnavailable(
                "this system has no keyring; set one up, or give the secret as a variable of the environment: ${NAME}"
            )
        if "plaintext" in kind.lower():
            raise SecretsUnavailable(f"the keyring {kind} keeps secrets in clear; set up another one")

    def get(self, server: str, name: str) -> str:
        """A secret. Raises `SecretsUnavailable`, also where there is none of this name."""
        found = self._call("get_password", self._service, f"{server}/{name}")
        if not isinstance(found, str):
            raise SecretsUnavailable(
                f"the keyring has no {name!r} of the server {server!r}; dovetail servers secret {server} {name} "
                "puts it there"
            )
        return found

    def set(self, server: str, name: str, value: str) -> None:
        """Keep a secret. Raises `SecretsUnavailable`."""
        self._call("set_password", self._service, f"{server}/{name}", value)

    def remove(self, server: str, name: str) -> None:
        """Forget a secret; nothing, where there is none. Raises `SecretsUnavailable`."""
        if self._call("get_password", self._service, f"{server}/{name}") is not None:
            self._call("delete_password", self._service, f"{server}/{name}")

    def reader(self, server: str) -> Callable[[str], str]:
        """What gives the secrets of one server, for `Variables`."""

        def read(name: str) -> str:
            return self.get(server, name)

        return read

    def _call(self, name: str, *arguments: str) -> Any:
        try:
            return getattr(self._keyring, name)(*arguments)
        except self._keyring.errors.KeyringError as problem:
            raise SecretsUnavailable(
                f"the keyring can't be used ({type(problem).__name__}); unlock it, or give the secret as a variable of "
                "the environment: ${NAME}"
            ) from None

    def __repr__(self) -> str:
        return f"<ServerSecrets {self._service!r}>"


def keyring_reader(server: str) -> Callable[[str], str]:
    """What gives the secrets of one server, and looks for the keyring when the first one is wanted."""

    def read(name: str) -> str:
        return ServerSecrets().get(server, name)

    return read


def _keyring() -> Any:
    try:
        import keyring
    except ImportError:
        raise ImportError("secrets in the keyring need keyring: pip install 'dovetail[keyring]'") from None
    return keyring
