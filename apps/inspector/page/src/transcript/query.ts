// The words by which one looks for something, as far as the page has to know them: hints while one types, and buttons
// that put a word in or take it out. What they mean is decided where the conversation is.

export interface Hint {
  readonly word: string;
  readonly says: string;
}

export const HINTS: readonly Hint[] = [
  { word: "is:call", says: "requests with which something began" },
  { word: "is:error", says: "errors, and HTTP from 400 on" },
  { word: "is:finding", says: "messages with something wrong" },
  { word: "is:open", says: "requests without an answer" },
  { word: "is:slow", says: "answers after more than a second" },
  { word: "is:http", says: "whatever is of an HTTP exchange" },
  { word: "is:stderr", says: "what the server wrote to standard error" },
  { word: "from:client", says: "said by the client" },
  { word: "from:server", says: "said by the server" },
  { word: "kind:request", says: "of this kind: request, notification, response, error, batch, http, text, mark" },
  { word: "kind:notification", says: "notifications" },
  { word: "method:", says: "of this method; method:tools/* for all that begin so" },
  { word: "name:", says: "the name of the tool, prompt or resource has this in it" },
  { word: "id:", says: "with this id" },
  { word: "link:", says: "of this connection" },
  { word: "group:", says: "belongs to the call with this number" },
  { word: "exchange:", says: "of this HTTP exchange" },
  { word: "status:", says: "with this HTTP status" },
  { word: "revision:", says: "said in this revision" },
  { word: "rule:", says: "breaks this rule" },
];

const WORD = /-?(?:[a-z]+:)?(?:"[^"]*"|\S+)/g;

/** The words of a query, as they stand there. */
export function words(query: string): string[] {
  return query.match(WORD) ?? [];
}

export function has(query: string, word: string): boolean {
  return words(query).includes(word);
}

/** The query with a word, or without it where it had it. */
export function toggled(query: string, word: string): string {
  const all = words(query);
  return (all.includes(word) ? all.filter((each) => each !== word) : [...all, word]).join(" ");
}

/** The query with `field:value` in the place of whatever it said of that field; without, for no value. */
export function withField(query: string, field: string, value: string): string {
  const rest = words(query).filter((each) => !each.startsWith(`${field}:`));
  return (value === "" ? rest : [...rest, `${field}:${quoted(value)}`]).join(" ");
}

export function quoted(value: string): string {
  return /[\s"]/.test(value) ? `"${value.replaceAll('"', "")}"` : value;
}

/** What may be meant by the word that ends at the caret; at most eight. */
export function hints(query: string, caret: number): Hint[] {
  const word = wordAt(query, caret).replace(/^-/, "").toLowerCase();
  if (word === "") return HINTS.slice(0, 8);
  const fitting = HINTS.filter((each) => each.word.startsWith(word) && each.word !== word);
  return fitting.slice(0, 8);
}

/** The query with a hint in the place of the word that ends at the caret, and where the caret is then. */
export function completed(query: string, caret: number, hint: string): { query: string; caret: number } {
  const word = wordAt(query, caret);
  const before = query.slice(0, caret - word.length) + (word.startsWith("-") ? "-" : "") + hint;
  const space = hint.endsWith(":") ? "" : " ";
  return { query: before + space + query.slice(caret).trimStart(), caret: before.length + space.length };
}

function wordAt(query: string, caret: number): string {
  return /\S*$/.exec(query.slice(0, caret))?.[0] ?? "";
}
