"""Over HTTP+SSE a call has the rights of the request that posted it, not those of the request that opened the stream.

Both show credentials. Where a stream was opened with a token of many scopes, a token of few, stolen or lent, of the
same person and program must not do on it what it could not do elsewhere; nor may a stream that was opened long ago
keep rights that were taken away since.
"""

import json

from fault_wires import OldTalk, call, serving_kit

from dovetail import App, Context, Principal
from dovetail.security.authenticator import AuthenticationFailed, Credentials


class Scoped:
    """Takes the scopes of one and the same caller from a made-up token."""

    async def authenticate(self, request: Credentials) -> Principal:
        if not request.authorization:
            raise AuthenticationFailed("no token")
        return Principal("i", "s", "c", scopes=frozenset(request.authorization[0].split()))


async def test_a_lesser_token_does_not_use_the_rights_of_the_stream() -> None:
    app = App("rights")
    ran: list[frozenset[str]] = []

    @app.tool(scopes=["notes:delete"])
    async def delete(ctx: Context) -> str:
        ran.append(ctx.principal.scopes)
        return "deleted"

    @app.tool
    async def rights(ctx: Context) -> str:
        return json.dumps([sorted(ctx.principal.scopes), ctx.principal.key])

    async with serving_kit.serving(app.asgi(http_sse=True, authenticate=Scoped())) as port:
        talk = OldTalk(port, "notes:delete notes:read")
        await (await talk.connect()).open()
        talk.extra = {"Authorization": "notes:read"}
        refused = await talk.answer(call("delete", 1))
        assert "result" not in refused or refused["result"]["isError"], refused
        assert not ran
        told = json.loads((await talk.answer(call("rights", 2)))["result"]["content"][0]["text"])
        assert told[0] == ["notes:read"]
        # And the other way round: rights that were granted since count at once, and for their own request alone.
        talk.extra = {"Authorization": "notes:delete"}
        assert (await talk.answer(call("delete", 3)))["result"]["content"][0]["text"] == "deleted"
        talk.extra = {"Authorization": "notes:read"}
        assert "deleted" not in json.dumps(await talk.answer(call("delete", 4)))
        assert ran == [frozenset({"notes:delete"})]
        await talk.close()
