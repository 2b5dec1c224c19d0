// A command as one line, and lists of settings as lines: read and written.

/** The words of a command line, as a shell reads them: quotes hold words together, a backslash takes what follows as it is. */
export function words(line: string): string[] {
  const out: string[] = [];
  let word: string | null = null;
  let quote = "";
  for (let at = 0; at < line.length; at++) {
    const each = line[at]!;
    if (quote) {
      if (each === quote) quote = "";
      else if (each === "\\" && quote === '"' && /["\\$`]/.test(line[at + 1] ?? "")) word += line[++at]!;
      else word += each;
    } else if (each === "'" || each === '"') {
      quote = each;
      word ??= "";
    } else if (each === "\\" && at + 1 < line.length) word = (word ?? "") + line[++at]!;
    else if (/\s/.test(each)) {
      if (word !== null) out.push(word);
      word = null;
    } else word = (word ?? "") + each;
  }
  if (word !== null) out.push(word);
  return out;
}

/** Words as a line that is read as the same words. */
export function commandLine(all: string[]): string {
  return all.map((each) => (/^[\w@%+=:,./~-]+$/.test(each) ? each : `'${each.replaceAll("'", "'\\''")}'`)).join(" ");
}

/** Lines of `name` and `value`, such as `NAME=value` and `Name: value`; lines without the sign are left out. */
export function pairs(text: string, sign: "=" | ":"): Record<string, string> {
  const out: [string, string][] = [];
  for (const line of text.split("\n")) {
    const at = line.indexOf(sign);
    const name = line.slice(0, at).trim();
    if (at > 0 && name) out.push([name, sign === ":" ? line.slice(at + 1).trim() : line.slice(at + 1)]);
  }
  return Object.fromEntries(out);
}

/** The lines of pairs. */
export function pairLines(all: Record<string, string>, sign: "=" | ":"): string {
  return Object.entries(all)
    .map(([name, value]) => name + (sign === ":" ? ": " : "=") + value)
    .join("\n");
}

/** Lines that have something in them. */
export const lines = (text: string) =>
  text
    .split("\n")
    .map((each) => each.trim())
    .filter(Boolean);
