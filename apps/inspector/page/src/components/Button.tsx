import type { ComponentChildren } from "preact";
import { Icon, type IconName } from "./Icon.tsx";

interface ButtonProps {
  children: ComponentChildren;
  onClick?: ((event: MouseEvent) => void) | undefined;
  kind?: "plain" | "primary" | "danger" | "quiet";
  small?: boolean;
  icon?: IconName;
  disabled?: boolean;
  type?: "button" | "submit";
  title?: string | undefined;
  /** A switch that is on or off. */
  pressed?: boolean | undefined;
  expanded?: boolean | undefined;
}

export function Button({ children, onClick, kind = "plain", small, icon, disabled, type, title, ...is }: ButtonProps) {
  return (
    <button
      type={type ?? "button"}
      class={`button ${small ? "small" : ""}`}
      data-kind={kind}
      disabled={disabled}
      title={title}
      aria-pressed={is.pressed}
      aria-expanded={is.expanded}
      onClick={onClick}
    >
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

interface IconButtonProps {
  icon: IconName;
  /** What it does: read aloud, and shown when pointed at. */
  label: string;
  onClick: (event: MouseEvent) => void;
  disabled?: boolean;
  pressed?: boolean | undefined;
}

export function IconButton({ icon, label, onClick, disabled, pressed }: IconButtonProps) {
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={label}
      aria-pressed={pressed}
      title={label}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  );
}

/** Copies a text. `text` may be made when it is asked for. */
export function CopyButton({ text, label = "Copy" }: { text: string | (() => string); label?: string }) {
  const copy = (event: MouseEvent) => {
    const button = event.currentTarget as HTMLButtonElement;
    void navigator.clipboard.writeText(typeof text === "string" ? text : text()).then(() => {
      button.dataset["done"] = "yes";
      window.setTimeout(() => delete button.dataset["done"], 900);
    });
  };
  return (
    <button type="button" class="icon-button copy" aria-label={label} title={label} onClick={copy}>
      <Icon name="copy" />
    </button>
  );
}
