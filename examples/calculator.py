"""A calculator: tools with typed arguments, wrong ones refused, results as data, and errors that a model can
act on.

python examples/calculator.py            serve on standard input and output
python examples/calculator.py --check    try it, in this process
"""

import ast
import asyncio
import operator
import sys
from dataclasses import dataclass
from typing import Annotated, Literal

from dovetail import App, Client, Doc, Length, ToolError

app = App("calculator", version="1.0.0")

OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
}


@app.tool
def calculate(expression: Annotated[str, Doc("such as 2 * (3 + 4)"), Length(1, 200)]) -> float:
    """Work out an expression of numbers, + - * / and parentheses."""
    try:
        return value_of(ast.parse(expression, mode="eval").body)
    except SyntaxError:
        raise ToolError(f"{expression!r} is not an expression") from None
    except ZeroDivisionError:
        raise ToolError("something is divided by zero") from None


@dataclass
class Summary:
    """What a list of numbers comes to."""

    count: int
    total: float
    mean: float


@app.tool
def summarize(
    numbers: Annotated[list[float], Length(1, 10_000)], round_to: Literal[0, 1, 2, 3] = 2
) -> Summary:
    """Count, add up and average numbers.

    Args:
        numbers: the numbers
        round_to: how many digits to keep after the point
    """
    total = sum(numbers)
    return Summary(len(numbers), round(total, round_to), round(total / len(numbers), round_to))


def value_of(node: ast.expr) -> float:
    """The value of a parsed expression. Raises `ToolError` for anything but arithmetic."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.UnaryOp(op=op, operand=inside) if type(op) in OPERATORS:
            return OPERATORS[type(op)](value_of(inside))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](value_of(left), value_of(right))
        case _:
            raise ToolError(f"only numbers, + - * / and parentheses are allowed, not {ast.unparse(node)!r}")


async def check() -> None:
    """Try everything through a client in this process."""
    async with Client(app) as client:
        assert [tool.name async for tool in client.tools()] == ["calculate", "summarize"]
        assert await client.call_tool("calculate", {"expression": "2 * (3 + 4)"}, into=float) == 14
        assert await client.call_tool("summarize", {"numbers": [1, 2, 4]}, into=Summary) == Summary(
            3, 7, 2.33
        )

        nothing = await client.call_tool("calculate", {"expression": "1 / 0"})
        assert nothing.is_error
        assert nothing.text == "something is divided by zero"
        code = await client.call_tool("calculate", {"expression": "__import__('os')"})
        assert code.is_error
        wrong = await client.call_tool("summarize", {"numbers": ["one"]})
        assert wrong.is_error
        assert "numbers[0]" in wrong.text
    print("calculator: all checks passed")


if __name__ == "__main__":
    asyncio.run(check()) if "--check" in sys.argv[1:] else app.run()
