// One skill: its entry, its files, and how each fares when it is read.

import { useState } from "preact/hooks";
import {
  errorView,
  type ErrorView,
  type ServerView,
  type SkillCheckState,
  type SkillReadView,
  type SkillVerdictView,
  type SkillView,
} from "../api.ts";
import { AskLine } from "../components/AskLine.tsx";
import { Badge, type Tone } from "../components/Badge.tsx";
import { Button } from "../components/Button.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { FindingNotes } from "../components/FindingNotes.tsx";
import { JsonView } from "../components/JsonView.tsx";
import { plain } from "../components/odd.ts";
import { Prose } from "../components/Prose.tsx";
import { counted } from "../transcript/amounts.ts";
import { addressIn, fileOf, verdictOf } from "./asking.ts";

const TONES: Record<SkillCheckState, Tone> = { passed: "ok", failed: "error", unknown: "plain" };

interface SkillProps {
  server: ServerView;
  skill: SkillView;
  refresh: () => void;
  unlisted: boolean;
}

export function Skill({ server, skill, refresh, unlisted }: SkillProps) {
  const [file, setFile] = useState<SkillReadView | null>(null);
  const [verdict, setVerdict] = useState<SkillVerdictView | null>(null);
  const [error, setError] = useState<ErrorView | null>(null);
  const [busy, setBusy] = useState(false);
  const does = async (work: () => Promise<void>) => {
    setBusy(true);
    setError(null);
    try {
      await work();
    } catch (problem) {
      setError(errorView(problem));
    }
    setBusy(false);
  };
  const read = (uri: string) => does(async () => setFile(await fileOf(server.id, skill.uri, uri)));
  const check = () => does(async () => setVerdict(await verdictOf(server.id, skill.uri)));
  const anew = () => {
    setFile(null);
    setVerdict(null);
    refresh();
  };
  return (
    <>
      <header class="stack">
        <div class="line">
          <h2 class="mono detail-name">{plain(skill.name) || "no name"}</h2>
          {skill.dynamic && <Badge title="Its files are not listed">dynamic</Badge>}
          {unlisted && <Badge tone="ask">in no list</Badge>}
          {verdict && <Badge tone={TONES[verdict.state]}>{verdict.state}</Badge>}
        </div>
        <p class="mono muted breaks">{plain(skill.uri)}</p>
        {skill.description && <Prose text={skill.description} />}
        <FindingNotes notes={skill.notes} />
      </header>
      <div class="line">
        <Button kind="primary" icon="check" disabled={busy} onClick={() => void check()}>
          Check all files
        </Button>
        <Button icon="refresh" disabled={busy} onClick={anew}>
          Get its entry anew
        </Button>
      </div>
      {error && <ErrorBox error={error} title="That did not work" />}
      {verdict && <Verdict verdict={verdict} />}
      <Files skill={skill} verdict={verdict} read={(uri) => void read(uri)} shown={file?.uri ?? ""} />
      <AskLine
        label="Another file of the skill"
        placeholder="another file, such as references/more.md"
        button="Read it"
        ask={(typed) => void read(addressIn(skill.uri, typed))} // one that is not listed: a host has to refuse it
      />
      <div aria-live="polite" aria-busy={busy}>
        {file && <File file={file} />}
      </div>
      <details class="definition">
        <summary>The entry as it came</summary>
        <JsonView value={skill.entry} label="Entry of the skill" depth={3} />
      </details>
    </>
  );
}

function Verdict({ verdict }: { verdict: SkillVerdictView }) {
  const all = verdict.files.length;
  const failed = verdict.files.filter((each) => each.state === "failed").length;
  const kept = all === 1 ? "Its one file is" : `All ${all} files are`;
  return (
    <div class="stack" role="status" aria-label="Verdict">
      <p>
        {failed
          ? `${failed} of ${counted(all, "file")} ${failed === 1 ? "is" : "are"} not what the entry promised: a host must not use the skill.`
          : verdict.state === "unknown"
            ? "Nothing is promised of its files, so nobody can say whether they are right."
            : `${kept} what the entry promised. That says nothing of whether it can be trusted.`}
      </p>
      <Strays title="The server has these as well, and the entry does not list them" uris={verdict.unlisted} />
      <Strays title="The entry lists these, and the server does not" uris={verdict.gone} />
      <FindingNotes notes={verdict.notes} />
    </div>
  );
}

function Strays({ title, uris }: { title: string; uris: string[] }) {
  if (!uris.length) return null;
  return (
    <div class="note-box" data-tone="error">
      <span>{title}:</span>
      {uris.map((each) => (
        <span key={each} class="mono breaks">
          {plain(each)}
        </span>
      ))}
    </div>
  );
}

interface FilesProps {
  skill: SkillView;
  verdict: SkillVerdictView | null;
  read: (uri: string) => void;
  shown: string;
}

function Files({ skill, verdict, read, shown }: FilesProps) {
  const files = skill.dynamic ? [{ uri: skill.uri, path: "SKILL.md", digest: "", size: null }] : skill.files;
  if (!files.length) return null;
  return (
    <div class="skill-files">
      <table class="table" aria-label="Files of the skill">
        <thead>
          <tr>
            <th scope="col">file</th>
            <th scope="col">bytes</th>
            <th scope="col">digest</th>
            <th scope="col">is</th>
            <th scope="col">
              <span class="seen-by-readers">Read it</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {files.map((each, at) => {
            const found = verdict?.files.find((one) => one.uri === each.uri);
            return (
              <tr key={at} aria-current={each.uri === shown ? "true" : undefined}>
                <th scope="row" class="mono breaks">
                  {plain(each.path || each.uri) || "no address"}
                </th>
                <td>{each.size === null ? "–" : each.size.toLocaleString("en")}</td>
                <td class="mono" title={plain(each.digest)}>
                  {plain(each.digest.replace("sha256:", "").slice(0, 12)) || "–"}
                </td>
                <td>{found && <Badge tone={TONES[found.state]}>{found.state}</Badge>}</td>
                <td>
                  <Button small onClick={() => read(each.uri)} disabled={!each.uri}>
                    Read
                    <span class="seen-by-readers">{` ${each.path}`}</span>
                  </Button>
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function File({ file }: { file: SkillReadView }) {
  return (
    <article class="card" aria-label={`File ${file.uri}`}>
      <header class="card-head">
        <Badge tone={TONES[file.state]}>{file.state}</Badge>
        <strong class="mono breaks">{plain(file.uri)}</strong>
        <span class="grow" />
        {file.mimeType && <Badge>{plain(file.mimeType)}</Badge>}
        <span class="muted">{file.size.toLocaleString("en")} bytes</span>
      </header>
      <div class="card-body">
        <ul class="skill-checks" aria-label="Checks">
          {file.checks.map((each) => (
            <li key={each.check}>
              <Badge tone={TONES[each.state]}>
                {each.check}: {each.state}
              </Badge>
              {each.note && <span class="breaks"> {plain(each.note)}</span>}
            </li>
          ))}
        </ul>
        {file.state === "failed" && (
          <div class="note-box" data-tone="error">
            A host must not use this content.
          </div>
        )}
        {file.hidden.map((each) => (
          <div key={each} class="note-box" data-tone="warning">
            It has {each}, which a person does not see and a model reads.
          </div>
        ))}
        {file.text === null
          ? file.size > 0 && <p class="muted">It is no text, and is not shown.</p>
          : file.text && (
              <pre class="skill-text" tabIndex={0} aria-label="Text of the file">
                {plain(file.text)}
              </pre>
            )}
        {file.omitted > 0 && <p class="muted">{file.omitted.toLocaleString("en")} more characters are not shown.</p>}
      </div>
    </article>
  );
}
