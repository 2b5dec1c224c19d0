// A text that somebody else wrote. It is never markup: addresses in it become links that show all of themselves.

import { plain } from "./odd.ts";

const ADDRESS = /https?:\/\/[^\s<>"'`{}|\\^]+/g;
const LAST = /[.,;:!?)\]]+$/;

/** The address, if it is one that a link may lead to. */
export function webAddress(text: string): string | null {
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

/** A link to an address of somebody else's: whole, and opened apart from this page. Other schemes are shown as text. */
export function OuterLink({ address }: { address: string }) {
  const href = webAddress(address);
  if (!href) return <span class="mono breaks">{plain(address)}</span>;
  return (
    <a class="breaks" href={href} target="_blank" rel="noopener noreferrer" referrerpolicy="no-referrer">
      {href}
    </a>
  );
}

/** The parts of a text: addresses at the odd places. */
export function split(text: string): string[] {
  const parts: string[] = [];
  let end = 0;
  for (const found of text.matchAll(ADDRESS)) {
    const address = found[0].replace(LAST, "");
    parts.push(text.slice(end, found.index), address);
    end = found.index + address.length;
  }
  parts.push(text.slice(end));
  return parts;
}

export function Prose({ text, mono }: { text: string; mono?: boolean }) {
  const parts = split(text);
  return (
    <div class={mono ? "prose mono" : "prose"}>
      {parts.map((part, index) => (index % 2 ? <OuterLink key={index} address={part} /> : plain(part)))}
    </div>
  );
}
