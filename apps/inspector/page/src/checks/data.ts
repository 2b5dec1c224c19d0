// Saved calls with assertions, as the Inspector has them.

import { get, post, put } from "../api.ts";

export interface ChecksText {
  text: string;
}

export interface CheckResult {
  name: string;
  /** The revision and transport that it ran in, where its file names several. */
  cell: string;
  state: string;
  passed: boolean;
  seconds: number;
  failures: string[];
  /** The id of the call that was made; null where there was none. */
  call: string | null;
}

export const loadChecks = () => get<ChecksText>("/api/checks");
export const storeChecks = (text: string) => put<ChecksText>("/api/checks", { text });
export const runChecks = (names?: string[]) => post<{ results: CheckResult[] }>("/api/checks/run", names ? { names } : {});
/** Keep the call of a record as a check. */
export const saveCheck = (transcript: string, record: number) => post<ChecksText>("/api/checks/save", { transcript, record });

const NAME = /^\s*name\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)')/;

/** The names of the checks in a text, by the look of it: whether it is right is for the Inspector to say. */
export function namesIn(text: string): string[] {
  const names: string[] = [];
  let inside = false;
  for (const line of text.split("\n")) {
    if (/^\s*\[/.test(line)) inside = /^\s*\[\[\s*check\s*\]\]/.test(line);
    const found = inside ? NAME.exec(line) : null;
    if (found) names.push(found[1] === undefined ? (found[2] ?? "") : unescaped(found[1]));
  }
  return names;
}

function unescaped(text: string): string {
  try {
    return JSON.parse(`"${text}"`) as string;
  } catch {
    return text;
  }
}
