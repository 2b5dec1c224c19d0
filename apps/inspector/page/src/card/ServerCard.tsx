// The card of a server: what it says before anybody is connected, beside what the server says when one is.

import { useState } from "preact/hooks";
import {
  api,
  errorView,
  type CardFactState,
  type CardFactView,
  type CardView,
  type ErrorView,
  type Json,
  type ServerView,
} from "../api.ts";
import { AskLine } from "../components/AskLine.tsx";
import { Badge, type Tone } from "../components/Badge.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { FindingNotes } from "../components/FindingNotes.tsx";
import { JsonView } from "../components/JsonView.tsx";
import { escapedOdd, plain } from "../components/odd.ts";
import { Headers } from "../network/Headers.tsx";
import "./card.css";

const TONES: Record<CardFactState, Tone> = { same: "ok", differs: "error", missing: "warning" };

export function ServerCard({ server }: { server: ServerView }) {
  const [card, setCard] = useState<CardView | null>(null);
  const [error, setError] = useState<ErrorView | null>(null);
  const [asking, ask] = useState(false);
  const look = async (address: string) => {
    ask(true);
    setError(null);
    try {
      setCard(await api.card(server.id, address));
    } catch (problem) {
      setCard(null);
      setError(errorView(problem));
    }
    ask(false);
  };
  return (
    <section class="stack" aria-label={`Server card of ${server.name}`}>
      <h3>Server card</h3>
      {server.target.url ? (
        <AskLine
          label="Address of the card, where it is not below the server's"
          placeholder="below the server's address, at /server-card"
          button={card ? "Get it again" : "Get the card"}
          busy={asking}
          empty
          ask={(typed) => void look(typed)}
        />
      ) : (
        <p class="muted">A server that is started here has none: cards tell how to reach a server over the network.</p>
      )}
      {error && <ErrorBox error={error} title="The card was not asked for" />}
      <div class="stack" aria-live="polite" aria-busy={asking}>
        {card && <Shown card={card} />}
      </div>
    </section>
  );
}

function Shown({ card }: { card: CardView }) {
  return (
    <>
      <div class="line">
        <Badge tone={{ found: "ok", absent: "plain", failed: "error", local: "plain" }[card.state] as Tone}>
          {{ found: "found", absent: "none there", failed: "not got", local: "none" }[card.state]}
        </Badge>
        {card.status > 0 && <Badge>HTTP {card.status}</Badge>}
        <span class="mono breaks">{plain(card.url)}</span>
      </div>
      {card.message && <p>{plain(card.message)}</p>}
      {card.facts.length > 0 && <Facts facts={card.facts} />}
      <FindingNotes notes={card.notes} />
      {card.state === "found" && !card.notes.length && <p class="muted">Nothing is wrong with it by its schema.</p>}
      {card.content !== null && (
        <details class="definition">
          <summary>The card as it came</summary>
          <JsonView value={card.content} label="The card" depth={3} />
        </details>
      )}
      {Object.keys(card.headers).length > 0 && (
        <details class="definition">
          <summary>Headers of the answer</summary>
          <Headers headers={card.headers} />
        </details>
      )}
    </>
  );
}

function Facts({ facts }: { facts: CardFactView[] }) {
  return (
    <div class="card-facts">
      <table class="table" aria-label="The card beside the server">
        <thead>
          <tr>
            <th scope="col">fact</th>
            <th scope="col">the card</th>
            <th scope="col">the server</th>
            <th scope="col">is</th>
          </tr>
        </thead>
        <tbody>
          {facts.map((each) => (
            <tr key={each.fact}>
              <th scope="row" class="mono">
                {each.fact}
              </th>
              <td class="mono breaks">{said(each.card)}</td>
              <td class="mono breaks">{said(each.server)}</td>
              <td>
                <Badge tone={TONES[each.state]}>{each.state}</Badge>
                {each.note && <p class="muted">{plain(each.note)}</p>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** A value in its cell: a text as it is, and anything else as JSON. */
function said(value: Json): string {
  if (value === null) return "–";
  return typeof value === "string" ? plain(value) : escapedOdd(JSON.stringify(value));
}
