import type { ComponentChildren } from "preact";
import type { ErrorView } from "../api.ts";
import { JsonView } from "./JsonView.tsx";
import { Prose } from "./Prose.tsx";

interface ErrorBoxProps {
  error: ErrorView;
  title?: string;
  children?: ComponentChildren;
}

/** What went wrong, as the Inspector says it; data of a protocol error can be opened. */
export function ErrorBox({ error, title, children }: ErrorBoxProps) {
  return (
    <div class="error-box" role="alert">
      <p class="error-kind">
        <strong>{title ?? error.kind}</strong>
        {title && title !== error.kind && <code>{error.kind}</code>}
        {error.code !== null && <code>{error.code}</code>}
      </p>
      <Prose text={error.message} />
      {error.data !== null && error.data !== undefined && <JsonView value={error.data} label="Data of the error" />}
      {children}
    </div>
  );
}
