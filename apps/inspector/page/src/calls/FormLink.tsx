import type { ErrorView, Json } from "../api.ts";
import { CopyButton } from "../components/Button.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { linkTo } from "./links.ts";

/** A link to this form with what stands in it. */
export function CopyLink({ place, values }: { place: string; values: Json | undefined }) {
  const link = linkTo(location.origin, place, values);
  return link === null ? null : <CopyButton text={link} label="Copy a link to this form as it is filled in" />;
}

/** That a link has filled the form, or why it has not. */
export function FromLink({ filled, error }: { filled: boolean; error: ErrorView | null }) {
  if (error) return <ErrorBox error={error} title="The form was not filled" />;
  if (!filled) return null;
  return (
    <div class="note-box" data-tone="ask" role="status">
      A link filled this form. Nothing was called: look at it first.
    </div>
  );
}
