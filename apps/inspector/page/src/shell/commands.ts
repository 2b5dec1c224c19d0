// What the palette offers: places and deeds. A view adds its own by `offer`.

import { api, errorView } from "../api.ts";
import { servers, transcripts } from "../store.ts";
import { go, panes, path } from "./route.ts";
import { chooseTheme } from "./theme.ts";
import { tell } from "./Toasts.tsx";
import { tabsOf } from "./views.ts";

export interface Command {
  /** Unique among all. */
  id: string;
  title: string;
  /** Where it belongs, shown beside the title. */
  group: string;
  run: () => void;
}

const sources = new Set<() => Command[]>();

/** Offer further commands, asked for each time the palette opens. Gives what ends it. */
export function offer(source: () => Command[]): () => void {
  sources.add(source);
  return () => void sources.delete(source);
}

/** All of them. */
export function commands(): Command[] {
  return [...servers.value.flatMap(ofServer), ...transcripts.value.flatMap(ofCapture), ...ofAll()].concat(
    ...[...sources].map((source) => source()),
  );
}

function ofServer(server: (typeof servers.value)[number]): Command[] {
  const places = tabsOf("s", server, null).map((view) => ({
    id: `s/${server.id}/${view.id}`,
    title: view.title,
    group: server.name,
    run: () => go(path("s", server.id, view.id)),
  }));
  const ended = (problem: unknown) => tell(errorView(problem));
  return [
    ...places,
    {
      id: `connect/${server.id}`,
      title: "Connect",
      group: server.name,
      run: () => void api.connect(server.id).catch(ended),
    },
    {
      id: `disconnect/${server.id}`,
      title: "Disconnect",
      group: server.name,
      run: () => void api.disconnect(server.id).catch(ended),
    },
    {
      id: `beside/${server.id}`,
      title: "Show beside this",
      group: server.name,
      run: () => go(path("s", server.id), panes.value.length ? 1 : 0),
    },
  ];
}

function ofCapture(transcript: (typeof transcripts.value)[number]): Command[] {
  if (transcript.server) return [];
  return tabsOf("t", null, transcript).map((view) => ({
    id: `t/${transcript.id}/${view.id}`,
    title: view.title,
    group: transcript.name,
    run: () => go(path("t", transcript.id, view.id)),
  }));
}

function ofAll(): Command[] {
  const places = tabsOf("a", null, null).map((view) => ({
    id: `a/${view.id}`,
    title: view.title,
    group: "Inspector",
    run: () => go(path("a", view.id)),
  }));
  const themes = (["light", "dark", "system"] as const).map((each) => ({
    id: `theme/${each}`,
    title: each === "system" ? "Colours as the system has them" : each === "light" ? "Light colours" : "Dark colours",
    group: "Inspector",
    run: () => chooseTheme(each),
  }));
  return [...places, ...themes];
}
