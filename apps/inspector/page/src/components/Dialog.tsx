import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { IconButton } from "./Button.tsx";

interface DialogProps {
  label: string;
  close: () => void;
  children: ComponentChildren;
  /** Without a head of its own. */
  bare?: boolean;
  wide?: boolean;
}

/** A dialog above everything: the browser keeps the focus in it, and Escape closes it. */
export function Dialog({ label, close, children, bare, wide }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = element.current!;
    const before = document.activeElement;
    dialog.showModal();
    return () => {
      dialog.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog
      class={`dialog ${wide ? "wide" : ""}`}
      ref={element}
      aria-label={label}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onMouseDown={(event) => event.target === element.current && close()}
    >
      {!bare && (
        <header class="dialog-head">
          <h2>{label}</h2>
          <IconButton icon="close" label="Close" onClick={close} />
        </header>
      )}
      {children}
    </dialog>
  );
}
