// The words by which one looks for something, with what could be meant while one types.

import { useEffect, useId, useRef, useState } from "preact/hooks";
import { Icon } from "../components/Icon.tsx";
import { completed, has, hints, toggled } from "./query.ts";

interface SearchProps {
  query: string;
  set: (query: string) => void;
  /** Words that have a button of their own. */
  quick: readonly { word: string; text: string }[];
}

const PAUSE = 250;

export function Search({ query, set, quick }: SearchProps) {
  const [text, setText] = useState(query);
  const [caret, setCaret] = useState<number | null>(null);
  const [chosen, choose] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  const timer = useRef(0);
  const id = useId();
  useEffect(() => setText(query), [query]);
  useEffect(() => () => window.clearTimeout(timer.current), []);
  const offered = caret === null ? [] : hints(text, caret);
  const now = (next: string) => {
    window.clearTimeout(timer.current);
    setText(next);
    set(next.trim());
  };
  const typed = (next: string) => {
    setText(next);
    choose(-1);
    setCaret(input.current?.selectionStart ?? next.length);
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => set(next.trim()), PAUSE);
  };
  const take = (word: string) => {
    const done = completed(text, caret ?? text.length, word);
    typed(done.query);
    choose(-1);
    setCaret(word.endsWith(":") ? null : done.caret);
    requestAnimationFrame(() => {
      input.current?.focus();
      input.current?.setSelectionRange(done.caret, done.caret);
    });
  };
  const pressed = (event: KeyboardEvent) => {
    if (event.key === "Escape" && caret !== null) setCaret(null);
    else if (event.key === "ArrowDown" && offered.length) choose((chosen + 1) % offered.length);
    else if (event.key === "ArrowUp" && offered.length) choose((chosen + offered.length) % (offered.length + 1) - 1);
    else if (event.key === "Enter") {
      if (chosen >= 0) take(offered[chosen]!.word);
      else {
        setCaret(null);
        now(text);
      }
    } else return;
    event.preventDefault();
  };
  return (
    <>
      <div class="rec-search">
        <Icon name="search" />
        <input
          ref={input}
          class="input mono"
          type="text"
          role="combobox"
          spellcheck={false}
          autocomplete="off"
          placeholder="Words, is:error, method:tools/*"
          aria-label="Search the conversation"
          aria-autocomplete="list"
          aria-expanded={offered.length > 0}
          aria-controls={`${id}-hints`}
          aria-activedescendant={chosen >= 0 ? `${id}-${chosen}` : undefined}
          value={text}
          onInput={(event) => typed(event.currentTarget.value)}
          onFocus={() => setCaret(input.current?.selectionStart ?? 0)}
          onClick={() => setCaret(input.current?.selectionStart ?? 0)}
          onBlur={() => setCaret(null)}
          onKeyDown={pressed}
        />
        <ul class="rec-hints" id={`${id}-hints`} role="listbox" aria-label="What can be looked for" hidden={!offered.length}>
          {offered.map((each, index) => (
            <li
              key={each.word}
              id={`${id}-${index}`}
              role="option"
              aria-selected={index === chosen}
              onMouseDown={(event) => {
                event.preventDefault();
                take(each.word);
              }}
            >
              <code>{each.word}</code>
              <span class="muted">{each.says}</span>
            </li>
          ))}
        </ul>
      </div>
      <div class="rec-quick" role="group" aria-label="Filters">
        {quick.map((each) => (
          <button
            key={each.word}
            type="button"
            class="button small"
            data-kind="quiet"
            title={each.word}
            aria-pressed={has(text, each.word)}
            onClick={() => now(toggled(text, each.word))}
          >
            {each.text}
          </button>
        ))}
      </div>
    </>
  );
}
