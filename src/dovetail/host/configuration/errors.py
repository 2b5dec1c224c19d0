"""What goes wrong with files of configuration, with what stands in them, and with the secrets beside them."""

from ...errors import DovetailError

__all__ = [
    "ConfigurationChanged",
    "ConfigurationError",
    "ConfigurationUnreadable",
    "NotApproved",
    "SecretsUnavailable",
    "VariableMissing",
]


class ConfigurationError(DovetailError):
    """Something about the configuration of servers can't be done; nothing was written. The text says what to do."""


class ConfigurationUnreadable(ConfigurationError):
    """A file is not what its host reads: no text, no JSON or YAML, or not of the shape that it has to have."""


class ConfigurationChanged(ConfigurationError):
    """Somebody else wrote the file after it was read. Read it again, and decide anew."""

    retry_safe = True


class VariableMissing(ConfigurationError):
    """An entry names a variable that has no value here, and no default."""


class SecretsUnavailable(ConfigurationError):
    """The keyring of the system is not there, is locked, or does not have what was asked for."""


class NotApproved(ConfigurationError):
    """What an entry would do was not approved by the person, or not as it stands now."""
