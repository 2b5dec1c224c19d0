// What can be sent as a message.

import type { Json } from "../api.ts";

/** Why a value can't be sent; "" when it can. */
export function obstacle(body: Json | undefined): string {
  if (body === null || typeof body !== "object" || Array.isArray(body)) return "A message is a JSON object.";
  if (typeof body["method"] !== "string" || body["method"] === "") return 'A request or notification has a "method".';
  const params = body["params"];
  if (params !== undefined && (params === null || typeof params !== "object" || Array.isArray(params)))
    return '"params" are a JSON object.';
  return "";
}
