// What a view said and was not handed on yet: bounded, so that a view that says too much costs no more than that.

import type { AppCarried } from "../api.ts";

/** Characters of a message that is carried; as the bridge has it. */
export const LONGEST = 4 * 1024 * 1024;
const MOST = 500;
const MOST_CHARACTERS = 8 * 1024 * 1024;
const BATCH = 100;

export class Outbox {
  #messages: string[] = [];
  #characters = 0;
  #tooLong: number[] = [];
  #missed = 0;

  get empty(): boolean {
    return !this.#messages.length && !this.#tooLong.length && !this.#missed;
  }

  /** Take a message, whatever it is: what JSON cannot say is told as a text that is no JSON. */
  take(data: unknown): void {
    if (this.#messages.length >= MOST || this.#characters >= MOST_CHARACTERS) {
      this.#missed += 1;
      return;
    }
    const text = written(data);
    if (text.length > LONGEST) return this.skip(text.length);
    this.#messages.push(text);
    this.#characters += text.length;
  }

  /** A message of this length was not carried at all. */
  skip(length: number): void {
    if (this.#tooLong.length < BATCH) this.#tooLong.push(length);
    else this.#missed += 1;
  }

  /** The next to hand on. */
  next(): AppCarried {
    const messages = this.#messages.splice(0, BATCH);
    this.#characters -= messages.reduce((sum, each) => sum + each.length, 0);
    const carried = { messages, tooLong: this.#tooLong, missed: this.#missed };
    this.#tooLong = [];
    this.#missed = 0;
    return carried;
  }
}

function written(data: unknown): string {
  try {
    // A value that has no JSON, such as a function's absence, is undefined here.
    return JSON.stringify(data) ?? "undefined";
  } catch (problem) {
    return `no JSON: ${problem instanceof Error ? problem.name : "?"}`;
  }
}
