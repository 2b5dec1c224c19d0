import assert from "node:assert/strict";
import { test } from "node:test";
import { FAULT_KINDS, wordsOf } from "./data.ts";

test("a fault is written as on the command line, without what was not said", () => {
  assert.equal(wordsOf("delay", { seconds: "0.5", up_to: "", method: "tools/call" }), "delay seconds=0.5 method=tools/call");
  assert.equal(wordsOf("drop", {}), "drop");
});

test("what a shell would take apart is quoted", () => {
  assert.equal(wordsOf("error", { message: "it's $HOME" }), `error 'message=it'"'"'s $HOME'`);
  assert.equal(wordsOf("change", { pointer: "/a", value: '{"b": 1}' }), `change pointer=/a 'value={"b": 1}'`);
});

test("each kind is there once", () => {
  assert.equal(new Set(FAULT_KINDS.map((each) => each.kind)).size, FAULT_KINDS.length);
});
