import type { FindingView } from "../api.ts";
import { plain } from "./odd.ts";

/** What is wrong with something, whole. */
export function FindingNotes({ notes }: { notes: FindingView[] }) {
  return (
    <>
      {notes.map((each, at) => (
        <div key={at} class="note-box" data-tone={each.severity === "hint" ? "ask" : each.severity}>
          <span>
            {plain(each.what)}
            {each.where && <code> {plain(each.where)}</code>}
          </span>
          <span class="muted mono">
            {each.rule}
            {each.requirement && ` · ${each.requirement}`}
          </span>
        </div>
      ))}
    </>
  );
}
