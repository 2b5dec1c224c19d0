"""Resources, templates, their contents, and the requests about them. Specification: server/resources."""

from msgspec import field

from .metadata import Annotations, Icon
from .requests import CacheableResult, PageParams, PageResult, Params, RetryParams
from .wire import Meta, Open


class ResourceContents(Open, frozen=True, kw_only=True):
    """The contents of one resource: exactly one of ``text`` and ``blob`` (Base64) is set."""

    uri: str
    mime_type: str | None = None
    text: str | None = None
    blob: str | None = None
    meta: Meta | None = field(default=None, name="_meta")


class Resource(Open, frozen=True, kw_only=True):
    """A resource that a server can read out. ``size`` is in bytes, before any encoding."""

    uri: str
    name: str
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None
    annotations: Annotations | None = None
    size: int | None = None
    icons: list[Icon] | None = None
    meta: Meta | None = field(default=None, name="_meta")


class ResourceTemplate(Open, frozen=True, kw_only=True):
    """A family of resources, named by an RFC 6570 template."""

    uri_template: str
    name: str
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None
    annotations: Annotations | None = None
    icons: list[Icon] | None = None
    meta: Meta | None = field(default=None, name="_meta")


class ListResourcesParams(PageParams, frozen=True, kw_only=True):
    """Parameters of ``resources/list``."""


class ListResourcesResult(PageResult, frozen=True, kw_only=True):
    """One page of resources."""

    resources: list[Resource]


class ListResourceTemplatesParams(PageParams, frozen=True, kw_only=True):
    """Parameters of ``resources/templates/list``."""


class ListResourceTemplatesResult(PageResult, frozen=True, kw_only=True):
    """One page of resource templates."""

    resource_templates: list[ResourceTemplate]


class ReadResourceParams(RetryParams, frozen=True, kw_only=True):
    """Parameters of ``resources/read``."""

    uri: str


class ReadResourceResult(CacheableResult, frozen=True, kw_only=True):
    """What a resource holds: one or more contents."""

    contents: list[ResourceContents]


class SubscribeParams(Params, frozen=True, kw_only=True):
    """Parameters of ``resources/subscribe`` and ``resources/unsubscribe`` (stateful era)."""

    uri: str
