interface ChoiceProps {
  label: string;
  value: string;
  options: readonly { id: string; title: string }[];
  choose: (id: string) => void;
}

/** One of the two that are compared. */
export function Choice({ label, value, options, choose }: ChoiceProps) {
  const gone = value !== "" && !options.some((each) => each.id === value);
  return (
    <label class="cmp-choice">
      <span class="muted">{label}</span>
      <select class="select" value={value} onChange={(event) => choose(event.currentTarget.value)}>
        <option value="">choose</option>
        {gone && <option value={value}>{value} (not here any more)</option>}
        {options.map((each) => (
          <option key={each.id} value={each.id}>
            {each.title}
          </option>
        ))}
      </select>
    </label>
  );
}
