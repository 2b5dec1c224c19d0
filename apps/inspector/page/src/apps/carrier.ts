// The frame of one view, and its messages: what comes from its window, and from nowhere else, goes to the Inspector, and
// what the Inspector has for it goes there. Nothing is decided here.

import { errorView, Failed, type AppMessageView, type AppView, type ErrorView } from "../api.ts";
import { hear } from "../store.ts";
import { Outbox } from "./queue.ts";
import { apps } from "./requests.ts";

/** Milliseconds that a frame stays at most after its view was asked to end. */
const LAST = 4000;

interface Hearers {
  message: (message: AppMessageView) => void;
  changed: (view: AppView) => void;
  failed: (error: ErrorView) => void;
}

export class AppCarrier {
  readonly frame: HTMLIFrameElement;
  readonly #view: AppView;
  readonly #origin: string;
  readonly #hearers: Hearers;
  readonly #outbox = new Outbox();
  readonly #ends: (() => void)[];
  #carrying = false;
  #over = false;
  #delivered: Promise<void> = Promise.resolve();

  constructor(view: AppView, hearers: Hearers) {
    this.#view = view;
    this.#hearers = hearers;
    this.#origin = new URL(view.frame).origin;
    const frame = document.createElement("iframe");
    frame.setAttribute("sandbox", "allow-scripts allow-same-origin allow-forms");
    frame.setAttribute("allow", view.allow);
    frame.setAttribute("referrerpolicy", "no-referrer");
    frame.title = `View of ${view.tool}`;
    frame.className = "app-frame";
    frame.src = view.frame;
    this.frame = frame;
    const came = (event: MessageEvent<unknown>) => this.#came(event);
    const leave = () => apps.leave(view.id);
    window.addEventListener("message", came);
    window.addEventListener("pagehide", leave);
    this.#ends = [
      () => window.removeEventListener("message", came),
      () => window.removeEventListener("pagehide", leave),
      hear("app-message", (message) => message.app === view.id && this.#told(message)),
      hear("app", (changed) => changed.id === view.id && this.#changed(changed)),
      hear("reset", () => this.#lost("Too much went by while the Inspector was away: messages of the view are lost.")),
    ];
  }

  /** Have the view end; its frame stays until it did, kept apart where it is not seen any more. */
  end(seen: boolean): void {
    if (this.#over) return this.frame.remove();
    if (!seen) keepApart(this.frame);
    const gone = window.setTimeout(() => this.#finish(), LAST);
    this.#ends.push(() => window.clearTimeout(gone));
    apps.close(this.#view.id).catch((problem: unknown) => {
      // One that is not there any more has ended.
      if (!(problem instanceof Failed && problem.status === 404) && seen) this.#hearers.failed(errorView(problem));
      this.#finish();
    });
  }

  #came(event: MessageEvent<unknown>): void {
    if (event.source !== this.frame.contentWindow || event.origin !== this.#origin || this.#over) return;
    const data = event.data as { method?: unknown; params?: { length?: unknown } } | null;
    if (data?.method === "ui/notifications/sandbox-too-long") this.#outbox.skip(Number(data.params?.length) || 0);
    else this.#outbox.take(event.data);
    void this.#carry();
  }

  async #carry(): Promise<void> {
    if (this.#carrying) return;
    this.#carrying = true;
    try {
      while (!this.#outbox.empty && !this.#over) await apps.carry(this.#view.id, this.#outbox.next());
    } catch (problem) {
      this.#lost(errorView(problem).message);
    } finally {
      this.#carrying = false;
    }
  }

  #told(message: AppMessageView): void {
    this.#hearers.message(message);
    if (message.sender === "host") this.#delivered = this.#delivered.then(() => this.#deliver(message));
  }

  /** In their order: a long one is fetched before the next goes. */
  async #deliver(message: AppMessageView): Promise<void> {
    try {
      const whole = message.omitted ? await apps.message(message.app, message.n) : message;
      if (!this.#over) this.frame.contentWindow?.postMessage(whole.message, this.#origin);
    } catch (problem) {
      this.#lost(errorView(problem).message);
    }
  }

  #changed(view: AppView): void {
    this.#hearers.changed(view);
    if (view.state === "closed") this.#finish();
  }

  #lost(message: string): void {
    if (this.#over) return;
    this.#hearers.failed({ kind: "ViewLost", message: `${message} Reload the view.`, code: null, data: null });
    apps.leave(this.#view.id);
    this.#finish();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    for (const each of this.#ends) each();
    this.frame.remove();
  }
}

type Movable = ParentNode & { moveBefore?: (node: Node, child: Node | null) => void };

/** A frame whose place goes away lives on for its last words, where the browser can move one without loading it anew. */
function keepApart(frame: HTMLIFrameElement): void {
  const body: Movable = document.body;
  frame.hidden = true;
  if (frame.isConnected && body.moveBefore) body.moveBefore(frame, null);
}
