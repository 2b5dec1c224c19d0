// The place of a tool's view: its code is loaded, and the view opened, when somebody wants to see it.

import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { errorView, type CallView, type ErrorView, type Json, type JsonObject } from "../api.ts";
import { Button } from "../components/Button.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { isObject } from "../forms/schema.ts";

interface Ui {
  /** The address of the view; "" for none. */
  uri: string;
  visibility: Json | undefined;
}

/** What a tool says of its view, as the Inspector reads it. */
export function uiOf(tool: JsonObject): Ui {
  const meta = isObject(tool["_meta"]) ? tool["_meta"] : {};
  const ui = isObject(meta["ui"]) ? meta["ui"] : {};
  const given = [ui["resourceUri"], meta["ui/resourceUri"]];
  const uri = given.find((each): each is string => typeof each === "string" && each.startsWith("ui://"));
  return { uri: uri ?? "", visibility: ui["visibility"] };
}

/** `begun`: the person has just made the call here, so its view opens by itself. */
export function AppSlot({ call, begun }: { call: CallView; begun: boolean }) {
  const [open, setOpen] = useState(false);
  const [panel, setPanel] = useState<{ Shown: ComponentType<{ call: CallView; close: () => void }> } | null>(null);
  const [error, fail] = useState<ErrorView | null>(null);
  useEffect(() => {
    if (begun) setOpen(true); // an event may tell of the call before the answer does to who made it
  }, [begun]);
  useEffect(() => {
    if (!open || panel) return;
    let here = true;
    import("../apps/AppPanel.tsx").then(
      (module) => here && setPanel({ Shown: module.default }),
      (problem: unknown) => here && fail(errorView(problem)),
    );
    return () => {
      here = false;
    };
  }, [open]);
  if (error) return <ErrorBox error={error} />;
  if (!open)
    return (
      <div class="line">
        <Button icon="open" onClick={() => setOpen(true)}>
          Open its view
        </Button>
      </div>
    );
  return panel ? <panel.Shown call={call} close={() => setOpen(false)} /> : <div class="loading" aria-busy="true" />;
}
