// Links to a form with values in it. Opening one fills the form and does nothing else: a person looks, and calls.

import type { Json, JsonObject } from "../api.ts";

/** The member of an address that has them. It is in the fragment, which a browser sends to nobody. */
export const VALUES = "arguments";
const LONGEST = 32_768;

/** The values of an address; throws an Error that says why they are none. */
export function valuesIn(text: string): JsonObject {
  if (text.length > LONGEST) throw new Error(`The values of this link are longer than ${LONGEST} characters.`);
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch (problem) {
    const reason = problem instanceof Error ? problem.message : String(problem);
    throw new Error(`The values of this link cannot be read as JSON: ${reason}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error("The values of this link are no object, such as {}.");
  return value;
}

/** The address of a place with values for its form, for people to keep; null for values that are too long. */
export function linkTo(origin: string, place: string, values: Json | undefined): string | null {
  const text = JSON.stringify(values ?? {});
  return text.length > LONGEST ? null : `${origin}/#${place}?${new URLSearchParams({ [VALUES]: text })}`;
}
