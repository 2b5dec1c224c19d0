// What a server lists, to choose from: searched as one types, any number of entries.

import { useMemo, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import type { FindingView, JsonObject } from "../api.ts";
import { FindingsBadge } from "../components/Badge.tsx";
import { Button, IconButton } from "../components/Button.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { Icon } from "../components/Icon.tsx";
import { plain } from "../components/odd.ts";
import { VirtualList } from "../components/VirtualList.tsx";
import type { Listed, Paging } from "./calling.ts";

const ROW = 46;

export interface Entry {
  /** Unique in the list; what deep links have. */
  key: string;
  title: string;
  detail: string;
  item: JsonObject;
  notes: FindingView[];
  /** Which of its icons is drawn. */
  icon?: number | undefined;
  badges?: ComponentChildren;
}

interface CatalogueProps {
  listed: Listed;
  entries: Entry[];
  chosen: string;
  choose: (key: string) => void;
  /** What they are, such as "tools". */
  what: string;
}

/** The entries that have all words of a query in them. */
export function searched(entries: Entry[], query: string): Entry[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return entries;
  return entries.filter((each) => {
    const text = `${each.key} ${each.title} ${each.detail}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

export function Catalogue({ listed, entries, chosen, choose, what }: CatalogueProps) {
  const [query, setQuery] = useState("");
  const fitting = useMemo(() => searched(entries, query), [entries, query]);
  const selected = fitting.findIndex((each) => each.key === chosen);
  return (
    <div class="catalogue">
      <div class="search">
        <Icon name="search" />
        <input
          class="search-input"
          type="search"
          aria-label={`Search ${what}`}
          placeholder={`Search ${what}`}
          value={query}
          onInput={(event) => setQuery(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && fitting[0]) choose(fitting[0].key);
          }}
        />
        <span class="muted" role="status">
          {fitting.length.toLocaleString("en")}
        </span>
        {listed.paging && (
          <IconButton
            icon="list"
            label={`List ${what} one page at a time`}
            pressed={listed.paging.on}
            onClick={listed.paging.turn}
          />
        )}
        <IconButton icon="refresh" label={`List ${what} again`} onClick={listed.reload} />
      </div>
      {listed.paging?.on && <Pages listed={listed} paging={listed.paging} />}
      {listed.error && (
        <div class="pad">
          <ErrorBox error={listed.error}>
            <div>
              <Button small onClick={listed.reload}>
                Try again
              </Button>
            </div>
          </ErrorBox>
        </div>
      )}
      {listed.loading && !listed.list && <div class="loading" />}
      {listed.list && !fitting.length && (
        <p class="pad muted">{entries.length ? "None of them fits." : `The server lists no ${what}.`}</p>
      )}
      {fitting.length > 0 && (
        <VirtualList
          label={what}
          count={fitting.length}
          rowHeight={ROW}
          selected={selected}
          keyOf={(index) => fitting[index]!.key}
          onSelect={(index) => choose(fitting[index]!.key)}
          render={(index) => <Row entry={fitting[index]!} />}
        />
      )}
    </div>
  );
}

/** How many pages there were, and the cursor that leads to the next one. */
function Pages({ listed, paging }: { listed: Listed; paging: Paging }) {
  const cursor = listed.list?.nextCursor ?? null;
  return (
    <div class="line pages" role="group" aria-label="Pages">
      <span role="status">{paging.pages === 1 ? "1 page" : `${paging.pages} pages`}</span>
      {cursor === null ? (
        <span class="muted">{listed.loading ? "" : "that is all"}</span>
      ) : (
        <>
          <span class="mono cut" title={plain(cursor)}>
            {plain(cursor) || "an empty cursor"}
          </span>
          <span class="grow" />
          <Button small disabled={listed.loading} onClick={paging.next}>
            Next page
          </Button>
        </>
      )}
    </div>
  );
}

function Row({ entry }: { entry: Entry }) {
  return (
    <div class="entry">
      <div class="entry-line">
        <span class="entry-title mono">{plain(entry.title)}</span>
        {entry.badges}
        <FindingsBadge findings={entry.notes} />
      </div>
      <div class="entry-detail">{plain(entry.detail) || "\u00a0"}</div>
    </div>
  );
}
