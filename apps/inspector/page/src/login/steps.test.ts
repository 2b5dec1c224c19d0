import assert from "node:assert/strict";
import { test } from "node:test";
import type { LoginStepView, LoginView } from "../api.ts";
import { arrow, between, help, joined, logins } from "./steps.ts";

function step(id: number, kind = "scopes", more: Partial<LoginStepView> = {}): LoginStepView {
  const nothing = { requirement: "", request: null, response: null, documents: [] };
  return { id, kind, title: kind, source: "client", target: "client", state: "done", held: false, time: "", decision: "", ...nothing, ...more };
}

const news = (steps: LoginStepView[]): LoginView => ({ server: "s1", steps, waiting: false, stepping: false });

test("steps that are told take the place of those that are known", () => {
  const known = [step(1), step(2, "token", { held: true })];
  const next = joined(known, news([step(2, "token"), step(3, "kept")]));
  assert.deepEqual(next.map((each) => [each.id, each.held]), [[1, false], [2, false], [3, false]]);
  assert.deepEqual(joined(known, news([])), []);
});

test("a login ends with the tokens, or without them", () => {
  const kinds = ["challenge", "failed", "challenge", "token", "kept", "loaded", "challenge"];
  const all = kinds.map((kind, at) => step(at, kind));
  assert.deepEqual(logins(all).map((each) => each.length), [2, 3, 1, 1]);
  assert.deepEqual(logins([]), []);
});

test("an arrow goes from who says something to who hears it", () => {
  assert.deepEqual(arrow(step(1, "challenge", { source: "server" })), { from: 2, to: 3, left: true });
  assert.deepEqual(arrow(step(1, "token", { target: "authority" })), { from: 2, to: 4, left: false });
  assert.deepEqual(arrow(step(1)), { from: 2, to: 2, left: false });
  assert.equal(between(step(1, "token", { target: "authority" })), "client to authorization server");
  assert.equal(between(step(1)), "client decides");
});

test("what to do is said of what went wrong alone", () => {
  assert.equal(help(step(1, "token")), "");
  assert.equal(help(step(1, "server-metadata", { state: "missing" })), "");
  assert.match(help(step(1, "registration", { state: "refused" })), /register clients/);
  assert.match(help(step(1, "of another time", { state: "failed" })), /once more/);
});
