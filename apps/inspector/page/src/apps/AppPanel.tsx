// The view that a tool has, for one call of it: the document in its sandbox, what it may do, and beside it every message
// that passes between the two.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { errorView, type AppMessageView, type AppSurroundings, type AppView, type CallView, type ErrorView } from "../api.ts";
import { Badge, type Tone } from "../components/Badge.tsx";
import { Button } from "../components/Button.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { JsonView } from "../components/JsonView.tsx";
import { plain } from "../components/odd.ts";
import { QuestionCard } from "../questions/QuestionCard.tsx";
import { theme } from "../shell/theme.ts";
import { tell } from "../shell/Toasts.tsx";
import { questions } from "../store.ts";
import { AppCarrier } from "./carrier.ts";
import { Messages, MOST_SHOWN } from "./Messages.tsx";
import { apps } from "./requests.ts";
import "./apps.css";

const SHORTEST = 60;
const TALLEST = 2000;
const FIRST = 240;
const CALM = 150;
const dark = window.matchMedia("(prefers-color-scheme: dark)");

const STATES: Record<AppView["state"], [Tone, string]> = {
  loading: ["ask", "loading"],
  running: ["ok", "running"],
  closing: ["ask", "closing"],
  closed: ["plain", "closed"],
};

function surroundings(place: HTMLElement): AppSurroundings {
  const shown = theme.value === "system" ? (dark.matches ? "dark" : "light") : theme.value;
  const { locale, timeZone } = Intl.DateTimeFormat().resolvedOptions();
  return {
    theme: shown,
    width: place.clientWidth,
    height: place.clientHeight,
    locale,
    timeZone,
    touch: navigator.maxTouchPoints > 0,
    hover: window.matchMedia("(hover: hover)").matches,
  };
}

interface AppPanelProps {
  call: CallView;
  close: () => void;
}

export default function AppPanel({ call, close }: AppPanelProps) {
  const [turn, again] = useState(0);
  const [view, setView] = useState<AppView | null>(null);
  const [messages, setMessages] = useState<AppMessageView[]>([]);
  const [error, fail] = useState<ErrorView | null>(null);
  const [beside, showBeside] = useState(true);
  const place = useRef<HTMLDivElement>(null);
  const carrier = useRef<AppCarrier | null>(null);

  // Its end comes while the frame is still in the page, so that it can be kept for its last words.
  useLayoutEffect(() => {
    let here = true;
    setView(null);
    setMessages([]);
    fail(null);
    const begun = async () => {
      const opened = await apps.open(call.server, call.id, surroundings(place.current!));
      if (!here) return apps.leave(opened.id);
      const made = new AppCarrier(opened, {
        message: (message) => here && setMessages((old) => [...old.slice(1 - MOST_SHOWN), message]),
        changed: (changed) => here && setView(changed),
        failed: (problem) => here && fail(problem),
      });
      carrier.current = made;
      place.current!.append(made.frame);
      setView(opened);
    };
    begun().catch((problem: unknown) => here && fail(errorView(problem)));
    return () => {
      here = false;
      carrier.current?.end(false);
      carrier.current = null;
    };
  }, [call.id, turn]);

  useEffect(() => {
    if (view) place.current?.scrollIntoView({ block: "nearest" });
  }, [view?.id]);
  useSurroundings(view, place);
  const wide = view?.mode === "fullscreen" && view.state !== "closed";
  const box = useModal(wide, () => view && void show(view.id, "inline"));
  const asked = questions.value.filter((each) => each.call === call.id && each.kind.startsWith("app-"));
  const height = Math.min(Math.max(view?.height ?? FIRST, SHORTEST), TALLEST);
  return (
    <dialog ref={box} class="card app" data-wide={wide || undefined} aria-label={`View of ${call.name}`}>
      <Head
        {...{ view, beside, call }}
        showBeside={showBeside}
        reload={() => again(turn + 1)}
        close={() => (view && view.state !== "closed" && carrier.current ? carrier.current.end(true) : close())}
      />
      {error && <ErrorBox error={error} title="The view is not shown" />}
      {wide && asked.map((each) => <QuestionCard key={each.id} question={each} />)}
      <div class="app-parts" data-beside={beside || undefined}>
        <div
          ref={place}
          class="app-place"
          data-border={view?.prefersBorder === false ? "none" : "line"}
          style={wide ? undefined : { blockSize: view && view.state !== "closed" ? `${height}px` : undefined }}
        >
          {!view && !error && <div class="loading" aria-busy="true" />}
          {view?.state === "closed" && <p class="muted pad">The view is closed: {plain(view.reason)}.</p>}
        </div>
        {beside && <Messages messages={messages} tool={call.name} />}
      </div>
      {view && <Told view={view} />}
    </dialog>
  );
}

const show = (id: string, mode: AppView["mode"]) =>
  apps.show(id, mode).catch((problem: unknown) => tell(errorView(problem)));

interface HeadProps {
  view: AppView | null;
  call: CallView;
  beside: boolean;
  showBeside: (beside: boolean) => void;
  reload: () => void;
  close: () => void;
}

function Head({ view, call, beside, showBeside, reload, close }: HeadProps) {
  const [tone, text] = STATES[view?.state ?? "loading"];
  const over = view?.state === "closed";
  return (
    <header class="card-head">
      <Badge tone={tone}>{text}</Badge>
      <strong class="cut">
        View of <span class="mono">{plain(call.name)}</span>
      </strong>
      {view && <span class="mono muted cut">{plain(view.uri)}</span>}
      <span class="grow" />
      <Button small kind="quiet" pressed={beside} onClick={() => showBeside(!beside)}>
        Messages
      </Button>
      {view && !over && (view.mode === "fullscreen" || view.modes.includes("fullscreen")) && (
        <Button
          small
          kind="quiet"
          onClick={() => void show(view.id, view.mode === "fullscreen" ? "inline" : "fullscreen")}
        >
          {view.mode === "fullscreen" ? "Back to the page" : "Maximize"}
        </Button>
      )}
      <Button small kind="quiet" icon="refresh" onClick={reload}>
        Reload view
      </Button>
      <Button small kind="quiet" icon="close" onClick={close}>
        {over ? "Put away" : "Close view"}
      </Button>
    </header>
  );
}

/** Tell the view when there is more or less room for it, and whether it is light or dark. */
function useSurroundings(view: AppView | null, place: { current: HTMLDivElement | null }): void {
  const id = view?.id;
  const over = !view || view.state === "closed";
  const chosen = theme.value;
  useEffect(() => {
    if (!id || over || !place.current) return;
    let timer = 0;
    const told = () => {
      window.clearTimeout(timer);
      timer = window.setTimeout(() => {
        // A view that ended meanwhile needs to know nothing.
        if (place.current) apps.surround(id, surroundings(place.current)).catch(() => undefined);
      }, CALM);
    };
    const observer = new ResizeObserver(told);
    observer.observe(place.current);
    dark.addEventListener("change", told);
    told();
    return () => {
      window.clearTimeout(timer);
      observer.disconnect();
      dark.removeEventListener("change", told);
    };
  }, [id, over, chosen]);
}

/** A dialog that stands in the page, or over all of it: one element in both cases, since a frame that is moved is loaded
 * anew. In the page it is not open, and shown all the same: an open one takes the Escape that is meant for another. */
function useModal(wide: boolean, back: () => void) {
  const box = useRef<HTMLDialogElement>(null);
  const leave = useRef(back);
  leave.current = back;
  useLayoutEffect(() => {
    const dialog = box.current;
    if (!dialog || !wide) return;
    const cancel = (event: Event) => {
      event.preventDefault();
      leave.current();
    };
    dialog.showModal();
    dialog.addEventListener("cancel", cancel);
    return () => {
      dialog.removeEventListener("cancel", cancel);
      dialog.close();
    };
  }, [wide]);
  return box;
}

/** What it may do, what it was kept from, and what it said of itself. */
function Told({ view }: { view: AppView }) {
  const wrong = view.refused.length + view.blocked.length + view.notes.length + (view.dropped ? 1 : 0);
  return (
    <div class="card-body">
      <p class="muted app-alternative">
        The view is a document of the server's. What the tool gave stands above as text, whether the view shows it or not.
      </p>
      {view.notes.map((each) => (
        <div key={each} class="note-box" data-tone="warning">
          {plain(each)}
        </div>
      ))}
      {view.dropped > 0 && (
        <div class="note-box" data-tone="warning">
          {view.dropped.toLocaleString("en")} messages were not read: they came too fast.
        </div>
      )}
      <details open={wrong > 0}>
        <summary>What it may do{wrong > 0 && ` (${wrong} ${wrong === 1 ? "note" : "notes"})`}</summary>
        <div class="stack">
          <p>{view.declared ? "Its server declares what it needs." : "Its server declares nothing, so it may reach nothing."}</p>
          <pre class="mono app-policy" aria-label="Content Security Policy">
            {view.policy.split("; ").join(";\n")}
          </pre>
          <p>
            Permissions: {view.permissions.length ? plain(view.permissions.join(", ")) : "none"}.{" "}
            {view.permissions.length > 0 && "The browser asks you before one is used."}
          </p>
          <Lines title="Declared, and refused" lines={view.refused} />
          <Lines title="Kept from it by the browser" lines={view.blocked} />
        </div>
      </details>
      {Object.keys(view.app).length > 0 && (
        <details>
          <summary>What it says that it is</summary>
          <JsonView value={view.app} label="The app" />
        </details>
      )}
      {view.context !== null && (
        <details open>
          <summary>What it would have a model know</summary>
          <JsonView value={view.context} label="Context for a model" depth={3} />
        </details>
      )}
    </div>
  );
}

function Lines({ title, lines }: { title: string; lines: string[] }) {
  if (!lines.length) return null;
  return (
    <>
      <h3>{title}</h3>
      <ul class="app-lines">
        {lines.map((each) => (
          <li key={each} class="mono breaks">
            {plain(each)}
          </li>
        ))}
      </ul>
    </>
  );
}
