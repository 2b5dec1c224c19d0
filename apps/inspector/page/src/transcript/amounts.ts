// Numbers as people read them.

/** A duration in seconds: three digits, and the unit that suits it. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 0) return `-${duration(-seconds)}`;
  if (seconds === 0) return "0 ms";
  if (seconds < 0.000_999_5) return `${digits(seconds * 1e6)} µs`;
  if (seconds < 0.999_5) return `${digits(seconds * 1e3)} ms`;
  if (seconds < 99.95) return `${digits(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** A time since the beginning: 0.0123, 12.345, 1:02:03.4. */
export function since(seconds: number): string {
  if (seconds < 60) return seconds.toFixed(seconds < 10 ? 4 : 3);
  const tenths = Math.floor(seconds * 10);
  const minutes = Math.floor(tenths / 600);
  const rest = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

export function bytes(count: number): string {
  if (count < 1024) return `${count} B`;
  if (count < 1024 * 1024) return `${digits(count / 1024)} KiB`;
  if (count < 1024 ** 3) return `${digits(count / 1024 ** 2)} MiB`;
  return `${digits(count / 1024 ** 3)} GiB`;
}

export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

function digits(value: number): string {
  return value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : value.toFixed(0);
}
