// CodeMirror with what JSON needs, and nothing else.

import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json, jsonParseLinter } from "@codemirror/lang-json";
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { linter } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, keymap } from "@codemirror/view";
import { tags } from "@lezer/highlight";

export interface Handle {
  show: (text: string) => void;
  close: () => void;
}

const COLOURS = HighlightStyle.define([
  { tag: tags.propertyName, color: "var(--json-name)" },
  { tag: tags.string, color: "var(--json-string)" },
  { tag: tags.number, color: "var(--json-number)" },
  { tag: [tags.bool, tags.null], color: "var(--json-other)" },
  { tag: tags.separator, color: "var(--muted)" },
]);

const THEME = EditorView.theme({
  "&": { backgroundColor: "var(--sunken)", color: "var(--text)", fontSize: "var(--mono-size)" },
  "&.cm-focused": { outline: "2px solid var(--accent)" },
  ".cm-content": { fontFamily: "var(--mono)", caretColor: "var(--text)", minHeight: "120px" },
  ".cm-scroller": { lineHeight: "1.5", maxHeight: "55vh" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "color-mix(in oklab, var(--accent), transparent 70%)",
  },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--accent-ground)" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--text)", border: "1px solid var(--line-strong)" },
});

/** The nonce that the page's policy lets styles have. */
function nonce(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "";
}

/** Open an editor; `typed` is called with the whole text whenever the person changed it. */
export function open(parent: HTMLElement, text: string, label: string, typed: (text: string) => void): Handle {
  let ours = false;
  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: text,
      extensions: [
        EditorView.cspNonce.of(nonce()),
        EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false", tabindex: "0" }),
        EditorView.lineWrapping,
        EditorState.tabSize.of(2),
        history(),
        drawSelection(),
        bracketMatching(),
        indentOnInput(),
        json(),
        linter((at) => (at.state.doc.toString().trim() ? jsonParseLinter()(at) : []), { delay: 300 }),
        syntaxHighlighting(COLOURS),
        // Tab goes on to the next control, as everywhere: whoever has no mouse gets out again.
        keymap.of([...defaultKeymap, ...historyKeymap]),
        THEME,
        EditorView.updateListener.of((update) => {
          if (update.docChanged && !ours) typed(update.state.doc.toString());
        }),
      ],
    }),
  });
  return {
    show: (next) => {
      ours = true;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: next } });
      ours = false;
    },
    close: () => view.destroy(),
  };
}
