// JSON as a text with colours, brackets and undo. The editor is loaded when it is first seen.

import { useEffect, useRef, useState } from "preact/hooks";
import type { Json } from "../api.ts";
import { same } from "./schema.ts";
import type { Handle } from "./codemirror.ts";

interface JsonEditorProps {
  value: Json | undefined;
  change: (value: Json | undefined) => void;
  label: string;
  /** What is wrong with the text; "" if nothing is. */
  problem?: (what: string) => void;
}

const written = (value: Json | undefined) => (value === undefined ? "" : JSON.stringify(value, null, 2));

export function JsonEditor({ value, change, label, problem }: JsonEditorProps) {
  const place = useRef<HTMLDivElement>(null);
  const handle = useRef<Handle | null>(null);
  const [ready, setReady] = useState(false);
  const known = useRef(value);
  const now = useRef({ change, problem });
  now.current = { change, problem };
  const typed = (text: string) => {
    if (!text.trim()) {
      known.current = undefined;
      now.current.problem?.("");
      return now.current.change(undefined);
    }
    try {
      known.current = JSON.parse(text) as Json;
    } catch (wrong) {
      return now.current.problem?.(wrong instanceof Error ? wrong.message : String(wrong));
    }
    now.current.problem?.("");
    now.current.change(known.current);
  };
  useEffect(() => {
    let here = true;
    void import("./codemirror.ts").then(({ open }) => {
      if (!here || !place.current) return;
      handle.current = open(place.current, written(known.current), label, typed);
      setReady(true);
    });
    return () => {
      here = false;
      handle.current?.close();
      now.current.problem?.("");
    };
  }, []);
  useEffect(() => {
    if (same(known.current, value)) return;
    known.current = value;
    handle.current?.show(written(value));
  }, [value]);
  return <div class="code" ref={place} aria-busy={!ready} />;
}
