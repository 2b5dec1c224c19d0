// Text as a message that can be sent.

import type { Json, JsonObject } from "../api.ts";

export interface Read {
  body: JsonObject | null;
  /** Why it can't be sent; "" when it can. */
  problem: string;
}

export function messageOf(text: string): Read {
  let body: Json;
  try {
    body = JSON.parse(text) as Json;
  } catch (problem) {
    return { body: null, problem: `This is no JSON: ${problem instanceof Error ? problem.message : String(problem)}` };
  }
  if (body === null || typeof body !== "object" || Array.isArray(body))
    return { body: null, problem: "A message is a JSON object." };
  if (typeof body["method"] !== "string" || body["method"] === "")
    return { body: null, problem: 'A request or notification has a "method".' };
  const params = body["params"];
  if (params !== undefined && (params === null || typeof params !== "object" || Array.isArray(params)))
    return { body: null, problem: '"params" are a JSON object.' };
  return { body, problem: "" };
}
