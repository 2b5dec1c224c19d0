import { Badge } from "../components/Badge.tsx";
import { visible } from "../transcript/shown.ts";
import { headerKind } from "./exchanges.ts";

const SAYS = { mcp: "MCP", login: "login", stream: "" } as const;

/** Headers, those of the protocol and of login marked. */
export function Headers({ headers }: { headers: Record<string, string> }) {
  const names = Object.keys(headers).sort();
  if (!names.length) return <p class="muted">No headers are known.</p>;
  return (
    <table class="table headers">
      <thead class="seen-by-readers">
        <tr>
          <th scope="col">Name</th>
          <th scope="col">Value</th>
        </tr>
      </thead>
      <tbody>
        {names.map((name) => {
          const kind = headerKind(name);
          return (
            <tr key={name} data-kind={kind || undefined}>
              <th scope="row">
                <code>{visible(name)}</code> {kind && SAYS[kind] && <Badge tone={kind === "mcp" ? "accent" : "ask"}>{SAYS[kind]}</Badge>}
              </th>
              <td>
                <code class="breaks">{visible(headers[name] ?? "")}</code>
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
