// The command palette: type a few letters, choose with the arrows, Enter does it.

import { useEffect, useId, useRef, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { Dialog } from "../components/Dialog.tsx";
import { commands, type Command } from "./commands.ts";

const MOST = 60;

export const paletteOpen = signal(false);

export function Palette() {
  if (!paletteOpen.value) return null;
  return (
    <Dialog label="Command palette" close={() => (paletteOpen.value = false)} bare>
      <Chooser />
    </Dialog>
  );
}

/** How well the words of a query fit a command; 0 is not at all. */
export function fit(command: Command, query: string): number {
  const text = `${command.title} ${command.group}`.toLowerCase();
  let sum = 1;
  for (const word of query.toLowerCase().split(/\s+/).filter(Boolean)) {
    const at = text.indexOf(word);
    if (at < 0) return 0;
    sum += at === 0 ? 4 : text[at - 1] === " " ? 3 : 1;
  }
  return sum;
}

function Chooser() {
  const [all] = useState(commands);
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const id = useId();
  const fitting = all
    .map((command) => ({ command, score: fit(command, query) }))
    .filter((each) => each.score > 0)
    .sort((a, b) => b.score - a.score)
    .slice(0, MOST)
    .map((each) => each.command);
  const chosen = Math.min(at, fitting.length - 1);
  useEffect(() => {
    list.current?.children[chosen]?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  const run = (command: Command | undefined) => {
    if (!command) return;
    paletteOpen.value = false;
    command.run();
  };
  const press = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      setAt((chosen + step + fitting.length) % Math.max(fitting.length, 1));
    } else if (event.key === "Enter") {
      event.preventDefault();
      run(fitting[chosen]);
    }
  };
  return (
    <div class="palette">
      <input
        class="palette-query"
        type="text"
        role="combobox"
        aria-label="Command or place"
        aria-expanded="true"
        aria-controls={id}
        aria-activedescendant={fitting[chosen] ? `${id}-${chosen}` : undefined}
        aria-autocomplete="list"
        placeholder="Go to, or do…"
        autocomplete="off"
        spellcheck={false}
        value={query}
        autofocus
        onInput={(event) => {
          setQuery(event.currentTarget.value);
          setAt(0);
        }}
        onKeyDown={press}
      />
      <ul class="palette-list" role="listbox" id={id} aria-label="Commands" ref={list}>
        {fitting.map((each, index) => (
          <li
            key={each.id}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === chosen}
            onMouseMove={() => setAt(index)}
            onClick={() => run(each)}
          >
            <span class="palette-title">{each.title}</span>
            <span class="palette-group">{each.group}</span>
          </li>
        ))}
      </ul>
      {!fitting.length && <p class="palette-none">Nothing fits.</p>}
    </div>
  );
}
