// Characters that are not seen, or turn around how others are seen: shown by their numbers, so that nobody reads what is
// not there.

const ODD = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\u2800\u3164\ufeff\uffa0\ufff9-\ufffb]|[\u{e0000}-\u{e007f}\u{e0100}-\u{e01ef}]/gu;

const number = (each: string) => `U+${each.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}`;

/** A text with such characters as ⟨U+202E⟩. */
export const plain = (text: string) => text.replace(ODD, (each) => `⟨${number(each)}⟩`);

/** The same inside JSON, where an escape says it. */
export const escapedOdd = (json: string) =>
  json.replace(ODD, (each) =>
    [...Array(each.length).keys()].map((at) => `\\u${each.charCodeAt(at).toString(16).padStart(4, "0")}`).join(""),
  );
