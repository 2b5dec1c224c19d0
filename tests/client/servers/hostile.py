"""A server that misbehaves after a proper handshake of the stateful era.

It answers each tool call with the lines that the call carries, ``$ID`` standing for the id of the call.
"""

import sys

import wire


def main() -> None:
    """Serve until the input ends."""
    while (message := wire.read()) is not None:
        method, id = message.get("method"), message.get("id")
        if method == "initialize":
            wire.result(
                id,
                protocolVersion="2025-11-25",
                capabilities={"tools": {}},
                serverInfo={"name": "h", "version": "0"},
            )
        elif method == "tools/call":
            for line in message["params"]["arguments"]["lines"]:
                sys.stdout.buffer.write(line.replace("$ID", str(id)).encode("utf-8", "surrogatepass") + b"\n")
            sys.stdout.buffer.flush()
        elif method == "ping":
            wire.result(id)
        elif method == "server/discover":
            wire.error(id, -32601, "what?")


main()
