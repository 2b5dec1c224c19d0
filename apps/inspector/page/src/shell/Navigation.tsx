// The left side: servers, opened captures, and the views of everything.

import { servers, transcripts, version, questions } from "../store.ts";
import { StateDot } from "../components/Badge.tsx";
import { Icon } from "../components/Icon.tsx";
import { IconButton } from "../components/Button.tsx";
import { go, panes, parse, path } from "./route.ts";
import { paletteOpen } from "./Palette.tsx";
import { chooseTheme, nextTheme, theme } from "./theme.ts";
import { tabsOf } from "./views.ts";

/** `close` is called when something was chosen: in a narrow window this is a drawer. */
export function Navigation({ close }: { close: () => void }) {
  const route = parse(panes.value[0] ?? "/");
  const opened = transcripts.value.filter((each) => !each.server);
  const all = tabsOf("a", null, null);
  const chosen = route.kind === "" || route.kind === "a" ? route.view || all[0]?.id : "";
  // Whoever looks at the tools of one server goes to the tools of the next.
  const view = route.kind === "s" ? route.view : "";
  return (
    <nav class="nav" aria-label="Servers and captures" onClick={close}>
      <div class="nav-top">
        <span class="nav-name">Inspector</span>
        <span class="muted">{version.value}</span>
        <span class="grow" />
        <IconButton icon="search" label="Command palette (Ctrl K)" onClick={() => (paletteOpen.value = true)} />
      </div>
      <div class="nav-list">
        <ul>
          {all.map((each) => (
            <Item
              key={each.id}
              to={path("a", each.id)}
              current={chosen === each.id}
              mark={<Icon name={each.icon} />}
              text={each.title}
              badge={each.id === "questions" ? count(questions.value.length) : (each.badge?.(null, null) ?? "")}
            />
          ))}
        </ul>
        <h2>Servers</h2>
        <ul>
          {servers.value.map((each) => (
            <Item
              key={each.id}
              to={path("s", each.id, view)}
              current={route.kind === "s" && route.id === each.id}
              mark={<StateDot state={each.state} />}
              text={each.name}
              badge={count(questions.value.filter((one) => one.server === each.id).length)}
            />
          ))}
          {!servers.value.length && <li class="nav-none">None yet.</li>}
        </ul>
        {opened.length > 0 && <h2>Captures</h2>}
        <ul>
          {opened.map((each) => (
            <Item
              key={each.id}
              to={path("t", each.id, route.kind === "t" ? route.view : "")}
              current={route.kind === "t" && route.id === each.id}
              mark={<Icon name="file" />}
              text={each.name}
              badge=""
            />
          ))}
        </ul>
      </div>
      <div class="nav-end">
        <button type="button" class="nav-theme" onClick={() => chooseTheme(nextTheme())}>
          <Icon name={theme.value === "dark" ? "moon" : theme.value === "light" ? "sun" : "auto"} />
          {{ system: "As the system", light: "Light", dark: "Dark" }[theme.value]}
        </button>
      </div>
    </nav>
  );
}

const count = (n: number) => (n ? String(n) : "");

interface ItemProps {
  to: string;
  current: boolean;
  mark: preact.ComponentChildren;
  text: string;
  badge: string;
}

function Item({ to, current, mark, text, badge }: ItemProps) {
  const press = (event: MouseEvent) => {
    if (event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (event.shiftKey || event.altKey) go(to, 1);
    else go(to);
  };
  return (
    <li>
      <a class="nav-item" href={`#${to}`} aria-current={current ? "page" : undefined} onClick={press} title={text}>
        {mark}
        <span class="nav-text">{text}</span>
        {badge && <span class="tab-badge">{badge}</span>}
      </a>
    </li>
  );
}
