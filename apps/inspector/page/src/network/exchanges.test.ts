import assert from "node:assert/strict";
import { test } from "node:test";
import type { RecordView } from "../api.ts";
import { Exchanges, headerKind } from "./exchanges.ts";

const NOTHING: RecordView = {
  n: 0, seconds: 0, time: "", link: 1, transport: "http", sender: "client", kind: "http", revision: "", method: "",
  id: null, name: "", pair: 0, latency: null, group: 0, size: 10, summary: "", exchange: 0, httpMethod: "", target: "",
  status: 0, event: "", end: "", findings: "",
};
const record = (members: Partial<RecordView>): RecordView => ({ ...NOTHING, ...members });

test("request, status and events of a stream are one exchange, whatever order they come in", () => {
  const exchanges = new Exchanges();
  exchanges.add([
    record({ n: 4, exchange: 7, seconds: 3, kind: "response", sender: "server" }),
    record({ n: 5, exchange: 7, seconds: 4, end: "complete", sender: "server" }),
    record({ n: 9, seconds: 9 }),
  ]);
  exchanges.add([
    record({ n: 1, exchange: 7, seconds: 1, kind: "request", httpMethod: "POST", target: "/mcp", method: "tools/call", name: "buy" }),
    record({ n: 2, exchange: 7, seconds: 2, status: 200, sender: "server" }),
    record({ n: 3, exchange: 8, seconds: 2, httpMethod: "GET", target: "/mcp" }),
  ]);
  const [first, second] = exchanges.all();
  assert.deepEqual(
    [first!.number, first!.method, first!.target, first!.status, first!.start, first!.end, first!.about, first!.size],
    [7, "POST", "/mcp", 200, 1, 4, "tools/call buy", 40],
  );
  assert.deepEqual(first!.events.map((each) => each.n), [4, 5]);
  assert.deepEqual([second!.number, second!.end, second!.status], [8, null, 0]);
});

test("a record that comes again takes the place of the one before", () => {
  const exchanges = new Exchanges();
  exchanges.add([record({ n: 1, exchange: 1, httpMethod: "POST" })]);
  assert.equal(exchanges.get(1)!.end, null);
  exchanges.add([record({ n: 1, exchange: 1, httpMethod: "POST" }), record({ n: 2, exchange: 1, status: 404, end: "broken" })]);
  const found = exchanges.get(1)!;
  assert.deepEqual([exchanges.count, found.broken, found.events.length], [1, true, 0]);
});

test("headers of the protocol and of login are told from others", () => {
  assert.deepEqual(["Mcp-Method", "WWW-Authenticate", "content-type", "date"].map(headerKind), ["mcp", "login", "stream", ""]);
});
