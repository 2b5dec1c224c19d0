// Text as it is shown: whatever would not be seen, or would move what is around it, is written out.

/** Controls, bidirectional marks, invisible characters and halves of characters. */
const UNSEEN =
  /\r(?!\n)|[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/gu;

/** Text with such characters as `\u{202e}`; line breaks and tabs stay. */
export function visible(text: string): string {
  return text.replace(UNSEEN, (each) => `\\u{${(each.codePointAt(0) ?? 0).toString(16)}}`);
}

/** The same on one line. */
export function oneLine(text: string): string {
  return visible(text.replace(/\r?\n/g, "⏎ ")).replaceAll("\t", " ");
}
