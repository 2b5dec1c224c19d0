// The skills of a server: what their entries promise, and whether their files keep it. Nothing of them is run.

import { useEffect, useMemo, useState } from "preact/hooks";
import { errorView, type ErrorView, type ServerView, type SkillListView, type SkillView } from "../api.ts";
import { Catalogue, type Entry } from "../calls/Catalogue.tsx";
import { NeedsServer } from "../calls/NeedsServer.tsx";
import { AskLine } from "../components/AskLine.tsx";
import { Badge } from "../components/Badge.tsx";
import { Empty } from "../components/Empty.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { FindingNotes } from "../components/FindingNotes.tsx";
import { Split } from "../components/Split.tsx";
import type { ViewProps } from "../shell/views.ts";
import { entryOf, skillsOf } from "./asking.ts";
import { Skill } from "./Skill.tsx";
import "./skills.css";

export default function Skills(props: ViewProps) {
  return (
    <NeedsServer server={props.server}>
      <SkillsOf key={props.server?.transcript} {...props} server={props.server!} />
    </NeedsServer>
  );
}

function SkillsOf({ server, rest, open }: ViewProps & { server: ServerView }) {
  const [found, setFound] = useState<SkillListView | null>(null);
  const [error, setError] = useState<ErrorView | null>(null);
  const [turn, again] = useState(0);
  useEffect(() => {
    let here = true;
    skillsOf(server.id).then(
      (view) => here && (setFound(view), setError(null)),
      (problem: unknown) => here && (setFound(null), setError(errorView(problem))),
    );
    return () => {
      here = false;
    };
  }, [server.id, turn]);
  const entries = useMemo<Entry[]>(() => (found?.skills ?? []).map(entryFor), [found]);
  const chosen = rest[0] ?? "";
  const listed = {
    list: found && { items: [], notes: {}, nextCursor: null, icons: {} },
    error,
    loading: !found && !error,
    reload: () => again((n) => n + 1),
  };
  return (
    <Split
      name="catalogue"
      label="Width of the list"
      share={34}
      first={
        <div class="skills-list">
          <Catalogue {...{ listed, entries, chosen }} what="skills" choose={(key) => open([key], {}, true)} />
          {found && found.notes.length > 0 && (
            <div class="pad stack">
              <FindingNotes notes={found.notes} />
            </div>
          )}
        </div>
      }
      second={
        chosen ? (
          <Chosen
            key={`${chosen}/${turn}`}
            server={server}
            uri={chosen}
            listed={found?.skills.find((each) => each.uri === chosen)}
            wait={listed.loading}
          />
        ) : (
          <Unlisted choose={(uri) => open([uri])} />
        )
      }
    />
  );
}

function entryFor(skill: SkillView, at: number): Entry {
  return {
    key: skill.uri || `#${at}`,
    title: skill.name || "no name",
    detail: skill.description || skill.uri,
    item: {},
    notes: skill.notes,
    badges: skill.dynamic ? <Badge title="Its files are not listed">dynamic</Badge> : <Badge>{amount(skill)}</Badge>,
  };
}

const amount = (skill: SkillView) => (skill.files.length === 1 ? "1 file" : `${skill.files.length} files`);

interface ChosenProps {
  server: ServerView;
  uri: string;
  listed: SkillView | undefined;
  wait: boolean;
}

/** A skill that is listed; or one that is not, whose entry the server is asked for. */
function Chosen({ server, uri, listed, wait }: ChosenProps) {
  const [own, setOwn] = useState<SkillView | null>(null);
  const [error, setError] = useState<ErrorView | null>(null);
  const get = () =>
    entryOf(server.id, uri).then(
      (view) => (setOwn(view), setError(null)),
      (problem: unknown) => setError(errorView(problem)),
    );
  const unlisted = !wait && !listed;
  useEffect(() => {
    if (unlisted) void get();
  }, [unlisted]);
  const skill = own ?? listed;
  return (
    <div class="detail scroll">
      {error && <ErrorBox error={error} title="The server gave no entry for it" />}
      {skill ? (
        <Skill server={server} skill={skill} refresh={() => void get()} unlisted={unlisted} />
      ) : (
        !error && <div class="loading" aria-busy="true" />
      )}
    </div>
  );
}

/** A server need not list all of its skills: one is found by its address as well. */
function Unlisted({ choose }: { choose: (uri: string) => void }) {
  return (
    <Empty icon="file" title="Choose a skill">
      <p>A server may have skills that it does not list: their address finds them.</p>
      <AskLine label="Address of a skill" placeholder="skill://name/SKILL.md" button="Find it" ask={choose} />
    </Empty>
  );
}
