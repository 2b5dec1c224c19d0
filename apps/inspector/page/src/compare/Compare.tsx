// Two conversations, or what two servers offer (or one, at two moments), beside each other.

import { Button } from "../components/Button.tsx";
import type { ViewProps } from "../shell/views.ts";
import { Conversations } from "./Conversations.tsx";
import { Surfaces } from "./Surfaces.tsx";
import "../transcript/transcript.css";
import "./compare.css";

export default function Compare(props: ViewProps) {
  const surfaces = props.rest[0] === "surfaces";
  return (
    <div class="rec">
      <div class="rec-tools">
        <h1 class="seen-by-readers">Compare</h1>
        <div class="line" role="group" aria-label="What is compared">
          <Button small kind="quiet" pressed={!surfaces} onClick={() => props.open([])}>
            Conversations
          </Button>
          <Button small kind="quiet" pressed={surfaces} onClick={() => props.open(["surfaces"])}>
            What servers offer
          </Button>
        </div>
      </div>
      {surfaces ? <Surfaces {...props} /> : <Conversations {...props} />}
    </div>
  );
}
