import assert from "node:assert/strict";
import { test } from "node:test";
import { expand, variables } from "./template.ts";

const VALUES = { var: "value", hello: "Hello World!", path: "/foo/bar", x: "1024", y: "768", empty: "", list: "red,green" };

// The examples of RFC 6570, sections 3.2.2 to 3.2.9, with values that are texts.
const EXAMPLES: [string, string][] = [
  ["{var}", "value"],
  ["{hello}", "Hello%20World%21"],
  ["{+hello}", "Hello%20World!"],
  ["{+path}/here", "/foo/bar/here"],
  ["{path}", "%2Ffoo%2Fbar"],
  ["{var:3}", "val"],
  ["{x,hello,y}", "1024,Hello%20World%21,768"],
  ["{#path,x}/here", "#/foo/bar,1024/here"],
  ["X{.x,y}", "X.1024.768"],
  ["{/var,x}/here", "/value/1024/here"],
  ["{;x,y,empty}", ";x=1024;y=768;empty"],
  ["{?x,y,empty}", "?x=1024&y=768&empty="],
  ["{?x,undef}", "?x=1024"],
  ["?fixed=yes{&x}", "?fixed=yes&x=1024"],
  ["{/list*}", "/red/green"],
  ["{?list*}", "?list=red&list=green"],
  ["{undef}x{?undef}", "x"],
];

for (const [template, address] of EXAMPLES)
  test(`${template} becomes ${address}`, () => assert.equal(expand(template, VALUES), address));

test("its variables are named once, without their signs", () => {
  assert.deepEqual(variables("db://{table}/{+path*}{?q,limit:3,table}"), ["table", "path", "q", "limit"]);
  assert.deepEqual(variables("file:///fixed"), []);
});
