/** Lengths of time as people and the command line write them: "8h", "90m", "2d 12h". */
const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 };
const SHOWN = ["d", "h", "m", "s"] as const;

/** "8h" as seconds; a bare number is seconds. Undefined for what is no length of time. */
export function parseDuration(text: string): number | undefined {
  const typed = text.trim().toLowerCase();
  if (/^\d+$/.test(typed)) return Number(typed);
  if (!/^(\d+(\.\d+)?\s*[smhdw]\s*)+$/.test(typed)) return undefined;
  let total = 0;
  for (const [, amount, unit] of typed.matchAll(/(\d+(?:\.\d+)?)\s*([smhdw])/g)) {
    total += Number(amount) * (SECONDS[unit ?? ""] ?? 0);
  }
  return Math.round(total);
}

/** Seconds as "8h" or "1d 12h". */
export function durationText(seconds: number): string {
  const parts: string[] = [];
  let rest = seconds;
  for (const unit of SHOWN) {
    const size = SECONDS[unit] ?? 1;
    const amount = Math.floor(rest / size);
    if (amount > 0) parts.push(`${amount}${unit}`);
    rest -= amount * size;
  }
  return parts.join(" ") || "0s";
}

/** What a form says about a field that holds no length of time. */
export function durationFault(text: string): string | null {
  return text.trim() === "" || parseDuration(text) !== undefined ? null : "Write it as 30m, 8h or 7d.";
}

/** The value of `<input type="datetime-local">` for a moment, in the browser's own time zone. */
export function localInput(at_ms: number): string {
  const shifted = new Date(at_ms - new Date(at_ms).getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 16);
}

/** A local date and time as the API takes moments; undefined when nothing, or nothing sensible, was typed. */
export function momentOf(local: string): string | undefined {
  const at = new Date(local).getTime();
  return Number.isNaN(at) ? undefined : new Date(at).toISOString();
}
