import type { ServerTarget } from "../api.ts";
import { commandLine } from "./words.ts";

/** Where a server is, in one line. */
export function place(target: ServerTarget): string {
  return target.url || commandLine([target.command, ...target.args]);
}
