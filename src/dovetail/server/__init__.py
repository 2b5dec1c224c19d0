"""The server side: an author's functions become tools, resources and prompts that every revision can call.

An `App` is in `dovetail`. Here are the types of what it is served with, for functions that pass options on.
"""

from .options import Endpoint, EndpointOptions, HTTPOptions, StdioOptions, UnixOptions

__all__ = ["Endpoint", "EndpointOptions", "HTTPOptions", "StdioOptions", "UnixOptions"]
