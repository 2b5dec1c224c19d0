// One place that is looked at: the server or capture at the top, its views as tabs, and the view.

import { Component, type ComponentChildren, type ComponentType } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { api, errorView, type ErrorView, type ServerView, type TranscriptView } from "../api.ts";
import { serverById, transcriptById } from "../store.ts";
import { counted } from "../transcript/amounts.ts";
import { Badge, StateBadge } from "../components/Badge.tsx";
import { Button, IconButton } from "../components/Button.tsx";
import { Empty } from "../components/Empty.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { Icon } from "../components/Icon.tsx";
import { closePane, go, parse, path, withQuery } from "./route.ts";
import { tell } from "./Toasts.tsx";
import { tabsOf, views, type View, type ViewProps } from "./views.ts";

interface PaneProps {
  address: string;
  index: number;
  count: number;
}

/** A pane; `index` is its place, from the left. */
export function Pane({ address, index, count }: PaneProps) {
  const route = parse(address);
  const kind = route.kind || "a";
  const server = route.kind === "s" ? (serverById.value.get(route.id) ?? null) : null;
  const key = route.kind === "t" ? route.id : (server?.transcript ?? "");
  const transcript = transcriptById.value.get(key) ?? null;
  const tabs = tabsOf(kind, server, transcript);
  const view = tabs.find((each) => each.id === route.view) ?? tabs[0];
  if (route.kind === "s" && !server) return <Gone what="server" pane={index} count={count} />;
  if (route.kind === "t" && !transcript) return <Gone what="capture" pane={index} count={count} />;
  const base = route.kind === "s" || route.kind === "t" ? [route.kind, route.id] : ["a"];
  const title = view ? view.title : "Overview";
  useTitle(index, [title, server?.name ?? transcript?.name ?? ""]);
  const where = count > 1 ? `, pane ${index + 1}` : "";
  const props: ViewProps = {
    server,
    transcript,
    rest: route.rest,
    query: route.query,
    open: (rest, query = {}, replace = false) =>
      go(withQuery(path(...base, view?.id ?? "", ...rest), query), index, replace),
    go: (to) => go(to, index),
  };
  return (
    <section class="pane" aria-label={`${server?.name ?? transcript?.name ?? "Inspector"}: ${title}${where}`}>
      {kind !== "a" && (
        <header class="pane-head">
          {server ? <ServerHead server={server} /> : <TranscriptHead transcript={transcript} />}
          {count > 1 && <IconButton icon="close" label="Close this pane" onClick={() => closePane(index)} />}
        </header>
      )}
      {kind === "a" && count > 1 && (
        <header class="pane-head">
          <h1>{title}</h1>
          <IconButton icon="close" label="Close this pane" onClick={() => closePane(index)} />
        </header>
      )}
      {kind !== "a" && <Tabs tabs={tabs} chosen={view} label={`Views${where}`} {...{ base, index, server, transcript }} />}
      <div class="pane-view">
        {view && (
          <Guard key={`${view.id}/${route.id}`}>
            <Lazy view={view} props={props} />
          </Guard>
        )}
      </div>
    </section>
  );
}

function useTitle(index: number, parts: string[]): void {
  const text = [...parts.filter(Boolean), "Inspector"].join(" · ");
  useEffect(() => {
    if (index === 0) document.title = text;
  }, [index, text]);
}

function Gone({ what, pane, count }: { what: string; pane: number; count: number }) {
  return (
    <section class="pane" aria-label={`This ${what} is not here`}>
      <Empty icon="search" title={`This ${what} is not here`}>
        <p>It was removed, or the link is from another launch of the Inspector.</p>
        <Button onClick={() => (count > 1 ? closePane(pane) : go("/", pane))}>
          {count > 1 ? "Close the pane" : "To all servers"}
        </Button>
      </Empty>
    </section>
  );
}

function ServerHead({ server }: { server: ServerView }) {
  const on = ["ready", "renewing", "connecting"].includes(server.state);
  const turn = () =>
    (on ? api.disconnect(server.id) : api.connect(server.id)).catch((problem: unknown) => tell(errorView(problem)));
  return (
    <>
      <h1 class="pane-title" title={server.name}>
        {server.name}
      </h1>
      <StateBadge state={server.state} />
      {server.revision && <Badge title="The revision that is spoken">{server.revision}</Badge>}
      {server.era && <Badge title="The era of that revision">{server.era}</Badge>}
      {server.renewals > 0 && <Badge title="How often the session was made anew">renewed {server.renewals}×</Badge>}
      <span class="grow" />
      <Button small kind={on ? "plain" : "primary"} onClick={() => void turn()}>
        {on ? "Disconnect" : server.state === "login" ? "Log in" : "Connect"}
      </Button>
    </>
  );
}

function TranscriptHead({ transcript }: { transcript: TranscriptView | null }) {
  if (!transcript) return null;
  return (
    <>
      <h1 class="pane-title" title={transcript.place || transcript.name}>
        {transcript.name}
      </h1>
      <Badge>{transcript.live ? "live" : "capture"}</Badge>
      {transcript.redacted && <Badge title="Secrets were taken out of it">redacted</Badge>}
      <span class="muted">{counted(transcript.count, "message")}</span>
      <span class="grow" />
    </>
  );
}

interface TabsProps {
  label: string;
  tabs: View[];
  chosen: View | undefined;
  base: string[];
  index: number;
  server: ServerView | null;
  transcript: TranscriptView | null;
}

function Tabs({ label, tabs, chosen, base, index, server, transcript }: TabsProps) {
  const list = useRef<HTMLElement>(null);
  useEffect(() => {
    list.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [chosen?.id]);
  return (
    <nav class="tabs" aria-label={label} ref={list}>
      {tabs.map((each) => (
        <a
          key={each.id}
          class="tab"
          href={`#${path(...base, each.id)}`}
          aria-current={each === chosen ? "page" : undefined}
          onClick={(event) => {
            if (event.ctrlKey || event.metaKey || event.shiftKey) return;
            event.preventDefault();
            go(path(...base, each.id), index);
          }}
        >
          <Icon name={each.icon} />
          {each.title}
          <TabBadge text={each.badge?.(server, transcript) ?? ""} />
        </a>
      ))}
    </nav>
  );
}

function TabBadge({ text }: { text: string }) {
  return text ? <span class="tab-badge">{text}</span> : null;
}

const loaded = new Map<string, ComponentType<ViewProps>>();

function Lazy({ view, props }: { view: View; props: ViewProps }) {
  const [, again] = useState(0);
  const [error, fail] = useState<ErrorView | null>(null);
  useEffect(() => {
    if (loaded.has(view.id)) return;
    let here = true;
    view.load().then(
      (module) => {
        loaded.set(view.id, module.default);
        if (here) again((n) => n + 1);
      },
      (problem: unknown) => here && fail(errorView(problem)),
    );
    return () => {
      here = false;
    };
  }, [view]);
  if (error) return <ErrorBox error={error} />;
  const Shown = loaded.get(view.id);
  return Shown ? <Shown {...props} /> : <div class="loading" aria-busy="true" />;
}

/** Load the code of a view before it is seen. */
export function preload(id: string): void {
  void views.find((each) => each.id === id)?.load();
}

/** Whatever fails inside is said in its place; the rest of the page lives on. */
class Guard extends Component<{ children: ComponentChildren }, { error: ErrorView | null }> {
  override state = { error: null as ErrorView | null };

  override componentDidCatch(problem: unknown): void {
    this.setState({ error: errorView(problem) });
  }

  override render() {
    if (!this.state.error) return this.props.children;
    return (
      <div class="pad">
        <ErrorBox error={this.state.error} title="This view cannot show what it was given" />
        <Button onClick={() => this.setState({ error: null })}>Show it again</Button>
      </div>
    );
  }
}
