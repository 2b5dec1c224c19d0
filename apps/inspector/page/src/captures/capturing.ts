// Captures as files: opened here, and saved.

import { ask, patch, remove, transcriptPath, type TranscriptView } from "../api.ts";

export const FORMATS = [
  { format: "jsonl", text: "JSON lines", ending: "jsonl", says: "the capture itself: to be opened again, compared, replayed" },
  { format: "har", text: "HAR", ending: "har", says: "its HTTP, for the network tools of browsers" },
  { format: "otlp", text: "OTLP", ending: "otlp.json", says: "its calls as traces" },
] as const;
export type Format = (typeof FORMATS)[number]["format"];

export const openCapture = (file: File) =>
  ask<TranscriptView>("POST", `/api/captures?${new URLSearchParams({ name: file.name })}`, file);

export const renameCapture = (id: string, name: string) => patch<TranscriptView>(transcriptPath(id), { name });

export const removeCapture = (id: string) => remove<unknown>(transcriptPath(id));

/** The address of a conversation as a file. */
export function exportAddress(id: string, format: Format, redact: boolean): string {
  return `${transcriptPath(id, "export")}?${new URLSearchParams({ format, redact: redact ? "yes" : "no" })}`;
}

/** A name for such a file that every system takes. */
export function fileName(name: string, format: Format): string {
  const ending = FORMATS.find((each) => each.format === format)?.ending ?? format;
  const plain = name
    .replace(/\.(jsonl|har|json)$/i, "")
    .replace(/[^\p{L}\p{N}._-]+/gu, "-")
    .replace(/^[-.]+|[-.]+$/g, "")
    .slice(0, 80);
  return `${plain || "capture"}.${ending}`;
}
