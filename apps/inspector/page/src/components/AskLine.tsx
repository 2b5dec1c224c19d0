import { useState } from "preact/hooks";
import { Button } from "./Button.tsx";

interface AskLineProps {
  label: string;
  placeholder: string;
  button: string;
  /** What is typed, without blanks around it. */
  ask: (typed: string) => void;
  busy?: boolean;
  /** Whether it may be asked with nothing typed. */
  empty?: boolean;
}

/** A line for an address, and the button that asks for what is there. */
export function AskLine({ label, placeholder, button, ask, busy = false, empty = false }: AskLineProps) {
  const [typed, set] = useState("");
  return (
    <form
      class="line"
      onSubmit={(event) => {
        event.preventDefault();
        if (empty || typed.trim()) ask(typed.trim());
      }}
    >
      <input
        class="input mono grow"
        inputmode="url"
        aria-label={label}
        placeholder={placeholder}
        autocomplete="off"
        spellcheck={false}
        value={typed}
        onInput={(event) => set(event.currentTarget.value)}
      />
      <Button type="submit" disabled={busy}>
        {button}
      </Button>
    </form>
  );
}
