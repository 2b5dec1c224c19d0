"""The weather service of the town: plain HTTP, written with FastAPI by people who never heard of MCP."""

import sys

import uvicorn
from fastapi import FastAPI, HTTPException, Query

app = FastAPI(title="Weather", description="The weather of the town and around it.")

PLACES = {"town": 18.5, "hill": 14.0}


@app.get("/forecast/{place}", operation_id="forecast", summary="The forecast for a place.")
async def forecast(place: str, days: int = Query(1, ge=1, le=7)) -> dict[str, list[float]]:
    """How warm it will be, in degrees Celsius."""
    if place not in PLACES:
        raise HTTPException(404, f"no forecast for {place}; there is one for {' and '.join(PLACES)}")
    return {"degrees": [PLACES[place] + day for day in range(days)]}


@app.get("/stations", operation_id="stations", summary="The stations that measure.")
async def stations() -> list[str]:
    """By name."""
    return sorted(PLACES)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
