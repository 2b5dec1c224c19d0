// Addresses made from a template (RFC 6570): the expressions in it, and what comes of values.

interface Style {
  first: string;
  between: string;
  named: boolean;
  /** What stands behind a name without a value. */
  empty: string;
  reserved: boolean;
}

const STYLES: Record<string, Style> = {
  "": { first: "", between: ",", named: false, empty: "", reserved: false },
  "+": { first: "", between: ",", named: false, empty: "", reserved: true },
  "#": { first: "#", between: ",", named: false, empty: "", reserved: true },
  ".": { first: ".", between: ".", named: false, empty: "", reserved: false },
  "/": { first: "/", between: "/", named: false, empty: "", reserved: false },
  ";": { first: ";", between: ";", named: true, empty: "", reserved: false },
  "?": { first: "?", between: "&", named: true, empty: "=", reserved: false },
  "&": { first: "&", between: "&", named: true, empty: "=", reserved: false },
};
const EXPRESSION = /\{([+#./;?&]?)([^{}]+)\}/g;

interface Variable {
  name: string;
  exploded: boolean;
  length: number;
}

const variablesIn = (list: string): Variable[] =>
  list.split(",").map((each) => {
    const [name = "", length] = each.replace(/\*$/, "").split(":");
    return { name: name.trim(), exploded: each.endsWith("*"), length: Number(length) || Infinity };
  });

/** The names of its variables, each once. */
export function variables(template: string): string[] {
  const names = [...template.matchAll(EXPRESSION)].flatMap(([, , list]) => variablesIn(list!).map((each) => each.name));
  return [...new Set(names)];
}

function encoded(value: string, reserved: boolean): string {
  const all = encodeURIComponent(value).replace(/[!'()*]/g, (each) => `%${each.charCodeAt(0).toString(16).toUpperCase()}`);
  if (!reserved) return all;
  return encodeURI(value)
    .replace(/%25([0-9a-f]{2})/gi, "%$1")
    .replace(/%5B/gi, "[")
    .replace(/%5D/gi, "]");
}

/** The address for values; a variable without one is left out. A list is typed with commas where it is exploded (`*`). */
export function expand(template: string, values: Record<string, string>): string {
  return template.replace(EXPRESSION, (_, operator: string, list: string) => {
    const style = STYLES[operator]!;
    const parts = variablesIn(list).flatMap(({ name, exploded, length }) => {
      const value = values[name];
      if (value === undefined) return [];
      const some = exploded ? value.split(",") : [[...value].slice(0, length).join("")];
      return some.map((each) => {
        const text = encoded(each, style.reserved);
        if (!style.named) return text;
        return text ? `${name}=${text}` : name + style.empty;
      });
    });
    return parts.length ? style.first + parts.join(style.between) : "";
  });
}
