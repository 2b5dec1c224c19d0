// Servers that other hosts on this machine know.

import { useEffect, useState } from "preact/hooks";
import { api, errorView, type ErrorView, type HostView } from "../api.ts";
import { Badge } from "../components/Badge.tsx";
import { Button } from "../components/Button.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { plain } from "../components/odd.ts";
import { tell } from "../shell/Toasts.tsx";
import { servers } from "../store.ts";

export function Import() {
  const [hosts, setHosts] = useState<HostView[] | null>(null);
  const [error, setError] = useState<ErrorView | null>(null);
  useEffect(() => {
    api.hosts().then(
      (found) => setHosts(found.hosts),
      (problem: unknown) => setError(errorView(problem)),
    );
  }, []);
  const take = async (host: string, name: string) => {
    try {
      await api.importServer(host, name);
      tell(`${name} is imported.`);
    } catch (problem) {
      tell(errorView(problem));
    }
  };
  if (error) return <ErrorBox error={error} />;
  if (!hosts) return <div class="loading" aria-busy="true" />;
  const there = hosts.filter((each) => each.exists);
  const absent = hosts.filter((each) => !each.exists);
  return (
    <div class="dialog-body">
      {!there.length && <p>No host of this machine has a file of servers.</p>}
      {there.map((host) => (
        <section key={host.name} class="stack" aria-label={host.title}>
          <div class="line">
            <h3>{host.title}</h3>
            <span class="mono muted breaks">{host.path}</span>
          </div>
          {host.problem && <p class="field-error">{host.problem}</p>}
          {!host.servers.length && !host.problem && <p class="muted">It has no servers.</p>}
          <ul class="stack">
            {host.servers.map((each) => (
              <li key={each.name} class="import-row">
                <span>
                  <strong>{plain(each.name)}</strong>
                  <span class="mono muted breaks"> {plain(each.target)}</span>
                  {each.dangers.map((one) => (
                    <span key={one} class="import-danger">
                      {one}
                    </span>
                  ))}
                </span>
                {servers.value.some((one) => one.source === host.name && one.name === each.name) ? (
                  <Badge tone="ok">imported</Badge>
                ) : (
                  <Button small onClick={() => void take(host.name, each.name)}>
                    Import
                  </Button>
                )}
              </li>
            ))}
          </ul>
        </section>
      ))}
      {absent.length > 0 && (
        <details>
          <summary class="muted">Looked for, and not there</summary>
          <ul class="stack">
            {absent.map((each) => (
              <li key={each.name} class="line">
                {each.title} <span class="mono muted breaks">{each.path}</span>
              </li>
            ))}
          </ul>
        </details>
      )}
    </div>
  );
}
