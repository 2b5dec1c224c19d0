"""What an HTTP endpoint may be told, with defaults that are safe and generous. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Responses = Literal["auto", "json", "sse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How an endpoint behaves. See `HTTPApp` for what each means."""

    path: str = "/mcp"
    trailing_slash: bool = False
    sessions: bool = True
    responses: Responses = "auto"
    http_sse: bool = False
    keep_alive: float = 15.0
    body_limit: int = 16 * 1024 * 1024
    body_timeout: float = 30.0
    send_timeout: float = 60.0
    slow_after: float = 0.005
    max_requests: int = 10_000
    max_streams: int = 5_000
    max_held: int = 256 * 1024 * 1024
    caller_share: int = 25
    anonymous_share: int = 50
    retry: float = 1.0
    linger: float = 120.0
    answer_timeout: float = 900.0
    drain: float = 10.0
    workers: int = 1
    health: str | None = None

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or (len(self.path) > 1 and self.path.endswith("/")):
            raise ValueError(f"the path {self.path!r} must begin with a slash and not end with one")
        if self.health is not None and (self.health[:1] != "/" or self.health.rstrip("/") in ("", self.path)):
            raise ValueError(
                f"health={self.health!r} is no path beside the endpoint; write one such as '/health'"
            )
        if self.responses not in ("auto", "json", "sse"):
            raise ValueError(f"responses is {self.responses!r}; it is one of 'auto', 'json' and 'sse'")
        for name in (
            "keep_alive",
            "body_limit",
            "body_timeout",
            "send_timeout",
            "answer_timeout",
            "max_requests",
            "max_streams",
            "max_held",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above zero")
        for name in ("caller_share", "anonymous_share"):
            if not 1 <= getattr(self, name) <= 100:
                raise ValueError(f"{name} is a part in percent, from 1 to 100")
        for name in ("slow_after", "retry", "linger", "drain"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be below zero")
