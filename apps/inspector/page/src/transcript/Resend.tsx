// A request that was sent, changed by hand or not, and sent again.

import { useState } from "preact/hooks";
import { errorView, post, transcriptPath, type CallView, type ErrorView, type Json, type RecordDetail, type TranscriptView } from "../api.ts";
import { callById, servers } from "../store.ts";
import { CallBadge } from "../components/Badge.tsx";
import { Button } from "../components/Button.tsx";
import { Dialog } from "../components/Dialog.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { JsonView } from "../components/JsonView.tsx";
import { JsonEditor } from "../forms/JsonEditor.tsx";
import { go, path } from "../shell/route.ts";
import { duration } from "./amounts.ts";
import { obstacle } from "./resending.ts";

interface ResendProps {
  transcript: TranscriptView;
  detail: RecordDetail;
  close: () => void;
}

export function Resend({ transcript, detail, close }: ResendProps) {
  const ready = servers.value.filter((each) => each.state === "ready");
  const own = ready.find((each) => each.id === transcript.server) ?? ready[0];
  const [server, setServer] = useState(own?.id ?? "");
  const [body, setBody] = useState<Json | undefined>(detail.draft ?? detail.value);
  const [unread, setUnread] = useState("");
  const [error, fail] = useState<ErrorView | null>(null);
  const [sent, setSent] = useState<CallView | null>(null);
  const problem = unread || obstacle(body);
  const call = sent && (callById.value.get(sent.id) ?? sent);
  const send = async () => {
    fail(null);
    setSent(null);
    try {
      setSent(await post<CallView>(transcriptPath(transcript.id, "send"), { server, body }));
    } catch (failed) {
      fail(errorView(failed));
    }
  };
  return (
    <Dialog label="Edit and send again" close={close} wide>
      <form
        class="dialog-body"
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <label class="field">
          <span class="field-label">To</span>
          <select class="select" value={server} onChange={(event) => setServer(event.currentTarget.value)}>
            {ready.map((each) => (
              <option key={each.id} value={each.id}>
                {each.name} ({each.revision})
              </option>
            ))}
          </select>
          {!ready.length && <span class="field-error">No server is connected: connect to one, and try again.</span>}
        </label>
        <div class="field">
          <span class="field-label">Message</span>
          <JsonEditor value={body} change={setBody} label="Message" problem={setUnread} />
          <span class={problem ? "field-error" : "field-hint"} role="status">
            {problem || "Id, headers, and what the client writes into _meta by itself are made anew, as for any call."}
          </span>
        </div>
        {error && <ErrorBox error={error} title="It was not sent" />}
        {call && <Outcome call={call} transcript={transcript} />}
        <div class="dialog-foot">
          <Button onClick={close}>Close</Button>
          <Button kind="primary" type="submit" icon="play" disabled={!server || problem !== ""}>
            Send
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Outcome({ call, transcript }: { call: CallView; transcript: TranscriptView }) {
  const first = call.records[0];
  const own = call.server === transcript.server;
  return (
    <section class="stack" aria-label="What came of it" role="status">
      <div class="line">
        <CallBadge state={call.state} />
        {call.seconds !== null && <span class="muted">after {duration(call.seconds)}</span>}
        {first !== undefined && own && (
          <Button small kind="quiet" onClick={() => go(path("s", call.server, "transcript", String(first)))}>
            Record {first}
          </Button>
        )}
      </div>
      {call.error && <ErrorBox error={call.error} />}
      {call.state === "done" && <JsonView value={call.result as Json} label="Result" depth={4} />}
    </section>
  );
}
