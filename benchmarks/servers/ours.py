"""The measured server, with Dovetail."""

from dovetail import App

app = App("measured", version="1")


@app.tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


if __name__ == "__main__":
    app.run()
