// What is always there: servers and captures at the left, one or two panes, what waits for the person, the palette.

import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { connection, opening, questions, start } from "../store.ts";
import { Button, IconButton } from "../components/Button.tsx";
import { Empty } from "../components/Empty.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { Split } from "../components/Split.tsx";
import { Navigation } from "./Navigation.tsx";
import { Palette, paletteOpen } from "./Palette.tsx";
import { Pane } from "./Pane.tsx";
import { go, panes, parse, path } from "./route.ts";
import { Toasts } from "./Toasts.tsx";

export function Shell() {
  const drawer = useSignal(false);
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        paletteOpen.value = !paletteOpen.value;
      }
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);
  if (connection.value === "opening") return <main class="shell-alone" aria-busy="true" aria-label="Inspector" />;
  if (connection.value === "closed") return <Closed />;
  const [first = "/", second] = panes.value;
  return (
    <div class="shell" data-drawer={drawer.value ? "open" : "closed"}>
      <a class="skip" href="#main" onClick={(event) => skip(event)}>
        Skip to the content
      </a>
      <header class="shell-bar">
        <IconButton icon="menu" label="Servers and views" onClick={() => (drawer.value = !drawer.value)} />
        <span class="shell-name">Inspector</span>
        <IconButton icon="search" label="Command palette" onClick={() => (paletteOpen.value = true)} />
      </header>
      <Navigation close={() => (drawer.value = false)} />
      <div class="shell-shade" onClick={() => (drawer.value = false)} />
      <main class="shell-main" id="main" tabIndex={-1}>
        <Notices />
        {second ? (
          <Split
            name="panes"
            label="Width of the left pane"
            first={<Pane address={first} index={0} count={2} />}
            second={<Pane address={second} index={1} count={2} />}
          />
        ) : (
          <Pane address={first} index={0} count={1} />
        )}
      </main>
      <Palette />
      <Toasts />
    </div>
  );
}

function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

/** What concerns everything that is seen: the Inspector is away, or somebody waits for an answer. */
function Notices() {
  const routes = panes.value.map(parse);
  // The view of a login has its question in it.
  const elsewhere = questions.value.filter(
    (each) => each.kind !== "login" || !routes.some(({ view, id }) => view === "login" && id === each.server),
  );
  const waiting = elsewhere.length;
  const seen = routes.some(({ view }) => view === "questions");
  return (
    <div class="notices" role="status">
      {connection.value === "lost" && (
        <div class="notice" data-tone="warning">
          <span>The Inspector does not answer. What you see may be old; it goes on by itself once it is back.</span>
          <Button small onClick={() => void start()}>
            Try now
          </Button>
        </div>
      )}
      {waiting > 0 && !seen && (
        <div class="notice" data-tone="ask">
          <span>{waiting === 1 ? "A server asks you something." : `Servers ask you ${waiting} things.`}</span>
          <Button small kind="primary" onClick={() => go(path("a", "questions"))}>
            Answer
          </Button>
        </div>
      )}
    </div>
  );
}

/** The page has no leave to look. */
function Closed() {
  return (
    <main class="shell-alone">
      <h1 class="seen-by-readers">Inspector</h1>
      <Empty icon="lock" title="This page is locked">
        <p>
          Open the address that <code>dovetail inspect</code> printed when it started: it ends with a token that is good
          for this launch alone.
        </p>
        {opening.value && <ErrorBox error={opening.value} />}
      </Empty>
    </main>
  );
}
