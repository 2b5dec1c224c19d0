"""An app that has nothing which several workers could share. Follows: no page of the specification."""

from dovetail import App

app = App("alone")


@app.tool
async def hello() -> str:
    """Says hello."""
    return "hello"
