"""A service of FastAPI's with parameters of every place and bodies of every kind; the framework writes its document."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

from fastapi import Cookie, FastAPI, File, Form, Header, HTTPException, Query, Request, Response, UploadFile
from pydantic import BaseModel, Field

service = FastAPI(title="Shop", version="1.0")


class Part(BaseModel):
    """A part, which may have parts."""

    name: str
    price: float | None = None
    parts: list[Part] = []


class Filters(BaseModel):
    """Query parameters as a model."""

    limit: int = Field(100, gt=0, le=100)
    tags: list[str] = []


@service.get("/parts/{part_id}/of/{day}", operation_id="find_part")
def find_part(
    part_id: int,
    day: datetime.date,
    q: Annotated[list[str], Query()] = [],  # noqa: B006 - FastAPI copies it
    exact: bool = False,
    weight: float | None = None,
    x_trace: Annotated[str | None, Header()] = None,
    session: Annotated[str | None, Cookie()] = None,
) -> dict[str, Any]:
    """Find a part."""
    return {
        "part_id": part_id,
        "day": str(day),
        "q": q,
        "exact": exact,
        "weight": weight,
        "x_trace": x_trace,
        "session": session,
    }


@service.get("/search", operation_id="search")
def search(filters: Annotated[Filters, Query()]) -> Filters:
    """Search."""
    return filters


@service.post("/parts", operation_id="add_part", status_code=201)
def add_part(part: Part) -> Part:
    """Add a part."""
    return part


@service.put("/parts/{name}", operation_id="change_part")
def change_part(name: str, part: Part, notify: bool = False) -> dict[str, Any]:
    """Change a part; the path and the body have a name each."""
    return {"path": name, "body": part.model_dump(), "notify": notify}


@service.post("/orders", operation_id="order")
def order(item: Annotated[str, Form()], count: Annotated[list[int], Form()] = [1]) -> dict[str, Any]:  # noqa: B006 - as above
    """Order by a form."""
    return {"item": item, "count": count}


@service.post("/pictures", operation_id="send_pictures")
async def send_pictures(
    first: UploadFile, others: Annotated[list[UploadFile], File()], note: Annotated[str, Form()] = ""
) -> dict[str, Any]:
    """Send files."""
    found = [[each.filename, each.content_type, (await each.read()).hex()] for each in (first, *others)]
    return {"files": found, "note": note}


@service.post(
    "/raw",
    operation_id="send_raw",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def send_raw(request: Request) -> dict[str, Any]:
    """Send bytes."""
    return {"hex": (await request.body()).hex(), "type": request.headers.get("content-type")}


@service.post(
    "/text",
    operation_id="send_text",
    openapi_extra={
        "requestBody": {"required": True, "content": {"text/plain": {"schema": {"type": "string"}}}}
    },
)
async def send_text(request: Request) -> dict[str, Any]:
    """Send text."""
    return {"text": (await request.body()).decode()}


@service.get("/numbers/{count}", operation_id="numbers")
def numbers(count: int) -> list[int]:
    """Some numbers, which are no object."""
    return list(range(count))


@service.get("/picture", operation_id="picture", response_class=Response)
def picture() -> Response:
    """A picture."""
    return Response(b"\x89PNG", media_type="image/png")


@service.delete("/parts/{name}", operation_id="remove_part", status_code=204)
def remove_part(name: str) -> None:
    """Remove a part."""
    if name == "busy":
        raise HTTPException(503, "come again", headers={"retry-after": "7"})
