// An address that a server wants to be opened: what in it a person has to look at, and what is suspicious.

export interface Looked {
  /** Before, in and after the name of the host. */
  before: string;
  host: string;
  after: string;
  /** Why one should think twice. */
  warnings: string[];
  /** Whether it may be opened at all: only the web's schemes are. */
  usable: boolean;
}

const LOCAL = /^(localhost|127(\.\d+){3}|\[::1\]|.+\.localhost)$/;
const NUMBERS = /^(\d+(\.\d+){3}|\[[\da-f:.]+\])$/i;

/** What is to be said of an address. `host`: as it will be resolved, where the Inspector knows. */
export function lookedAt(address: string, host = ""): Looked {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    return { before: address, host: "", after: "", warnings: ["This is no address."], usable: false };
  }
  const usable = url.protocol === "http:" || url.protocol === "https:";
  const warnings: string[] = [];
  const name = host || url.hostname;
  if (!usable) warnings.push(`Its scheme is ${url.protocol.slice(0, -1)}: only http and https are opened.`);
  if (url.username || url.password)
    warnings.push(`What stands before the @ is no host: the page comes from ${url.hostname}.`);
  if (/(^|\.)xn--/.test(url.hostname))
    warnings.push(
      `The name of the host has letters of other alphabets (${url.hostname}): it may look like another one, and is not.`,
    );
  if (/[^\x20-\x7e]/.test(name) && !/(^|\.)xn--/.test(url.hostname))
    warnings.push("The name of the host has letters that may look like others.");
  if (NUMBERS.test(url.hostname) && !LOCAL.test(url.hostname)) warnings.push("The host has no name, just a number.");
  if (url.protocol === "http:" && !LOCAL.test(url.hostname))
    warnings.push("It is not encrypted: whoever is on the way reads and changes it.");
  const shown = url.href;
  const at = shown.indexOf(url.hostname, url.protocol.length + 2 + userLength(url));
  return {
    before: shown.slice(0, at),
    host: url.hostname,
    after: shown.slice(at + url.hostname.length),
    warnings,
    usable,
  };
}

function userLength(url: URL): number {
  if (!url.username && !url.password) return 0;
  return url.username.length + (url.password ? url.password.length + 1 : 0) + 1;
}
