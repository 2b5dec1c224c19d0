// What can be said of a call besides its arguments.

import { useId } from "preact/hooks";
import type { JsonObject } from "../api.ts";
import { JsonField } from "../forms/Fields.tsx";
import { plan } from "../forms/plan.ts";
import { isObject } from "../forms/schema.ts";

export interface Options {
  meta?: JsonObject;
  asTask?: boolean;
  timeout?: number;
}

interface CallOptionsProps {
  options: Options;
  change: (options: Options) => void;
  /** As the tool says: "required", "optional", "forbidden" or nothing. */
  taskSupport: string;
}

const META = plan({ type: "object" }, true);

export function CallOptions({ options, change, taskSupport }: CallOptionsProps) {
  const id = useId();
  const set = (name: keyof Options, value: Options[keyof Options]) => {
    const { [name]: _, ...rest } = options;
    change(value === undefined || value === false ? rest : { ...rest, [name]: value });
  };
  const count = Object.keys(options).length;
  return (
    <details class="options">
      <summary>Options{count > 0 && ` (${count})`}</summary>
      <div class="stack">
        <label class="check">
          <input
            type="checkbox"
            checked={options.asTask ?? false}
            onChange={(event) => set("asTask", event.currentTarget.checked)}
          />
          Run as a task
          <span class="muted">{taskSupport && `the tool says: ${taskSupport}`}</span>
        </label>
        <div class="field">
          <label class="field-label" for={`${id}-t`}>
            Timeout <span class="muted">seconds; that of the server, if empty</span>
          </label>
          <input
            id={`${id}-t`}
            class="input mono short"
            inputMode="decimal"
            value={options.timeout === undefined ? "" : String(options.timeout)}
            onChange={(event) => {
              const seconds = Number(event.currentTarget.value);
              set("timeout", event.currentTarget.value && seconds > 0 ? seconds : undefined);
            }}
          />
        </div>
        <div class="field">
          <label class="field-label" for={`${id}-m`}>
            <code>_meta</code> <span class="muted">members of the request, as JSON</span>
          </label>
          <JsonField
            id={`${id}-m`}
            plan={META}
            schema
            pointer="/_meta"
            name="_meta"
            value={options.meta}
            change={(value) => set("meta", isObject(value) ? value : undefined)}
            absent
            required={false}
            told={undefined}
            wrong={false}
          />
        </div>
      </div>
    </details>
  );
}
