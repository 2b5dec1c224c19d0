"""What failed, as it is shown."""

from __future__ import annotations

from dovetail import RPCError

from ..views import ErrorView

__all__ = ["error_view"]


def error_view(problem: BaseException) -> ErrorView:
    """An exception, for people: what happened and, of an error of the protocol, its code and data."""
    code = problem.code if isinstance(problem, RPCError) else None
    data = problem.data if isinstance(problem, RPCError) else None
    return ErrorView(
        kind=type(problem).__name__, message=str(problem) or type(problem).__name__, code=code, data=data
    )
