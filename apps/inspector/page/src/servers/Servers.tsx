// All servers at a glance.

import { servers } from "../store.ts";
import { StateBadge } from "../components/Badge.tsx";
import { Empty } from "../components/Empty.tsx";
import { path } from "../shell/route.ts";
import type { ViewProps } from "../shell/views.ts";

export default function Servers(_: ViewProps) {
  if (!servers.value.length)
    return (
      <Empty icon="server" title="No server yet">
        <p>Add one to see what it offers and what it says.</p>
      </Empty>
    );
  return (
    <ul class="stack pad">
      {servers.value.map((each) => (
        <li key={each.id} class="line">
          <a href={`#${path("s", each.id)}`}>{each.name}</a>
          <StateBadge state={each.state} />
        </li>
      ))}
    </ul>
  );
}
