// Values of variables and headers that the keyring of the system keeps. What is typed goes there, and never comes back.

import { useState } from "preact/hooks";
import { api, errorView, type ErrorView } from "../api.ts";
import { Button } from "../components/Button.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { serverById } from "../store.ts";

export function Secrets({ id }: { id: string }) {
  const server = serverById.value.get(id);
  const [name, setName] = useState("");
  const [value, setValue] = useState("");
  const [error, setError] = useState<ErrorView | null>(null);
  const does = async (work: () => Promise<unknown>) => {
    setError(null);
    try {
      await work();
      setName("");
    } catch (problem) {
      setError(errorView(problem));
    }
    setValue("");
  };
  if (!server) return null;
  const what = server.target.url ? "header" : "variable";
  const keep = () => void does(() => api.keepSecret(id, name.trim(), value));
  const press = (event: KeyboardEvent) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // of the form around it, which saves and connects
    keep();
  };
  return (
    <div class="stack settings">
      <p class="muted">
        They are used from the next connection on, for this place alone, and left out of the conversation. Without a value,
        the one that is in the keyring already is used.
      </p>
      {server.secrets.length > 0 && (
        <ul class="secrets" aria-label="Secrets that are used">
          {server.secrets.map((each) => (
            <li key={each} class="line">
              <code>{each}</code>
              <Button small onClick={() => void does(() => api.forgetSecret(id, each))}>
                Forget
                <span class="seen-by-readers"> {each}</span>
              </Button>
            </li>
          ))}
        </ul>
      )}
      <div class="line" onKeyDown={press}>
        <input
          class="input mono grow"
          aria-label={`Name of the ${what}`}
          placeholder={server.target.url ? "Authorization" : "API_KEY"}
          autocomplete="off"
          spellcheck={false}
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
        />
        <input
          class="input mono grow"
          type="password"
          aria-label="Its value"
          autocomplete="new-password"
          value={value}
          onInput={(event) => setValue(event.currentTarget.value)}
        />
        <Button icon="lock" disabled={!name.trim()} onClick={keep}>
          Keep it
        </Button>
      </div>
      {error && <ErrorBox error={error} title="Not kept" />}
    </div>
  );
}
