// What tools, prompts, resources and models give: text stays text, images and sounds are shown from their own bytes, and
// whatever else comes is shown as JSON. Nothing here is ever markup, and nothing is loaded from elsewhere.

import { useEffect, useMemo, useState } from "preact/hooks";
import type { Json, JsonObject } from "../api.ts";
import { Badge } from "../components/Badge.tsx";
import { Button, CopyButton } from "../components/Button.tsx";
import { JsonView } from "../components/JsonView.tsx";
import { plain } from "../components/odd.ts";
import { OuterLink, Prose, webAddress } from "../components/Prose.tsx";
import { isObject } from "../forms/schema.ts";

const IMAGES = /^image\/(png|jpe?g|gif|webp|avif|bmp)$/i;
const SOUNDS = /^audio\/(mpeg|mp3|mp4|aac|ogg|opus|wav|x-wav|wave|webm|flac|x-flac)$/i;
const LONG = 20_000;
const LARGEST = 40_000_000;

const text = (value: Json | undefined) => (typeof value === "string" ? value : "");

/** Open a resource that a link names, where the view knows how. */
export type OpenResource = ((uri: string) => void) | undefined;

export function Contents({ blocks, open }: { blocks: Json; open?: OpenResource }) {
  const list = Array.isArray(blocks) ? blocks : [blocks];
  if (!list.length) return <p class="muted">No content.</p>;
  return (
    <div class="contents">
      {list.map((each, at) => (
        <Content key={at} block={each} at={at} open={open} />
      ))}
    </div>
  );
}

function Content({ block, at, open }: { block: Json; at: number; open: OpenResource }) {
  if (!isObject(block)) return <JsonView value={block} label="Content of no known kind" />;
  return (
    <div class="content" role="group" aria-label={`Content ${at + 1}: ${text(block["type"]) || "unknown"}`}>
      <Notes block={block} />
      <Body block={block} open={open} />
    </div>
  );
}

function Notes({ block }: { block: JsonObject }) {
  const notes = isObject(block["annotations"]) ? block["annotations"] : {};
  if (!Object.keys(notes).length && !block["_meta"]) return null;
  return (
    <div class="line">
      {Array.isArray(notes["audience"]) && <Badge>for {notes["audience"].map(String).join(" and ")}</Badge>}
      {notes["priority"] !== undefined && <Badge>priority {String(notes["priority"])}</Badge>}
      {typeof notes["lastModified"] === "string" && <Badge>changed {notes["lastModified"]}</Badge>}
      {isObject(block["_meta"]) && <JsonView value={block["_meta"]} label="_meta of the content" depth={0} copy={false} />}
    </div>
  );
}

function Body({ block, open }: { block: JsonObject; open: OpenResource }) {
  switch (block["type"]) {
    case "text":
      return typeof block["text"] === "string" ? <Text text={block["text"]} /> : <Unknown block={block} />;
    case "image":
    case "audio":
      return <Bytes data={text(block["data"])} type={text(block["mimeType"])} />;
    case "resource_link":
      return <ResourceLink block={block} open={open} />;
    case "resource":
      return isObject(block["resource"]) ? <ResourceContents contents={block["resource"]} /> : <Unknown block={block} />;
    default:
      return <Unknown block={block} />;
  }
}

const Unknown = ({ block }: { block: JsonObject }) => <JsonView value={block} label="Content as JSON" />;

/** A text, as JSON if it is some and one wishes to see it so. */
export function Text({ text: whole, mono }: { text: string; mono?: boolean }) {
  const [all, showAll] = useState(false);
  const [asJson, showJson] = useState(false);
  const value = useMemo(() => parsed(whole), [whole]);
  return (
    <div class="text-content">
      <div class="text-bar">
        {value !== undefined && (
          <Button small kind="quiet" pressed={asJson} onClick={() => showJson(!asJson)}>
            as JSON
          </Button>
        )}
        <CopyButton text={whole} label="Copy the text" />
      </div>
      {asJson && value !== undefined ? (
        <JsonView value={value} label="The text as JSON" copy={false} />
      ) : (
        <Prose text={all ? whole : whole.slice(0, LONG)} mono={mono ?? value !== undefined} />
      )}
      {!all && whole.length > LONG && !asJson && (
        <Button small onClick={() => showAll(true)}>
          Show {(whole.length - LONG).toLocaleString("en")} more characters
        </Button>
      )}
    </div>
  );
}

function parsed(text: string): Json | undefined {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

/** Base64 as bytes; null if it is none. */
export function decoded(data: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(data.replace(/\s/g, "")), (each) => each.charCodeAt(0));
  } catch {
    return null;
  }
}

/** Bytes by their type: a picture or a sound, text where it is some, else to be saved. */
export function Bytes({ data, type, name = "content" }: { data: string; type: string; name?: string }) {
  const [media] = type.split(";");
  const shown = (media ?? "").trim();
  const bytes = useMemo(() => (data.length > LARGEST ? null : decoded(data)), [data]);
  const [url, setUrl] = useState("");
  const safe = IMAGES.test(shown) || SOUNDS.test(shown);
  useEffect(() => {
    if (!bytes) return;
    // What is no picture or sound is given away as bytes of no kind: no browser opens it as a page of ours.
    const made = URL.createObjectURL(new Blob([bytes], { type: safe ? shown : "application/octet-stream" }));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [bytes, shown]);
  if (!bytes)
    return (
      <p class="field-error">
        {data.length > LARGEST ? `${data.length} characters of base64 are too many to be shown` : "This is no base64"} (
        {type || "no type"}).
      </p>
    );
  const readable = /^text\/|json$|xml$|javascript$/.test(shown);
  return (
    <figure class="bytes">
      {url && IMAGES.test(shown) && <img src={url} alt={`${shown} that the server gave`} />}
      {url && SOUNDS.test(shown) && <audio controls src={url} aria-label={`${shown} that the server gave`} />}
      {readable && <Text text={new TextDecoder().decode(bytes)} mono />}
      <figcaption class="line muted">
        <span class="mono">{type || "no type"}</span>
        <span>{bytes.length.toLocaleString("en")} bytes</span>
        {url && (
          <a href={url} download={`${name}.${extension(shown)}`}>
            Save
          </a>
        )}
        {!safe && !readable && <span>not shown: save it to look at it</span>}
      </figcaption>
    </figure>
  );
}

const extension = (type: string) => (/^[\w-]+\/([\w-]+)/.exec(type)?.[1] ?? "bin").slice(0, 12);

function ResourceLink({ block, open }: { block: JsonObject; open: OpenResource }) {
  const uri = text(block["uri"]);
  return (
    <div class="stack">
      <div class="line">
        <strong>{plain(text(block["title"]) || text(block["name"])) || "Resource"}</strong>
        {text(block["mimeType"]) && <Badge>{text(block["mimeType"])}</Badge>}
        {typeof block["size"] === "number" && <span class="muted">{block["size"].toLocaleString("en")} bytes</span>}
        {open && (
          <Button small onClick={() => open(uri)}>
            Read it
          </Button>
        )}
      </div>
      {webAddress(uri) ? <OuterLink address={uri} /> : <span class="mono breaks">{plain(uri)}</span>}
      {text(block["description"]) && <Prose text={text(block["description"])} />}
    </div>
  );
}

/** What a resource holds: text, or bytes. */
export function ResourceContents({ contents }: { contents: JsonObject }) {
  const type = text(contents["mimeType"]);
  return (
    <div class="stack">
      <div class="line">
        <span class="mono breaks">{plain(text(contents["uri"]))}</span>
        {type && <Badge>{type}</Badge>}
      </div>
      {typeof contents["text"] === "string" ? (
        <Text text={contents["text"]} mono />
      ) : typeof contents["blob"] === "string" ? (
        <Bytes data={contents["blob"]} type={type} name={lastPart(text(contents["uri"]))} />
      ) : (
        <Unknown block={contents} />
      )}
    </div>
  );
}

const lastPart = (uri: string) => uri.split(/[/\\?#]/).filter(Boolean).at(-1)?.replace(/[^\w.-]/g, "_") ?? "content";

/** A message of a prompt or of a conversation with a model. */
export function Message({ message, open }: { message: Json; open?: OpenResource }) {
  if (!isObject(message)) return <JsonView value={message} label="Message" />;
  const content = message["content"];
  return (
    <article class="message" data-role={text(message["role"])}>
      <h3>{text(message["role"]) || "no role"}</h3>
      {content === undefined ? <Unknown block={message} /> : <Contents blocks={content} open={open} />}
    </article>
  );
}
