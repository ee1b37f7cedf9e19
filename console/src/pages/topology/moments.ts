import { kindOf, type Logged } from "./past";

const HOUR_MS = 3_600_000;

/** How much time the slider shows, by what the URL says. */
export const SPANS: Record<string, { label: string; length_ms: number }> = {
  "1h": { label: "hour", length_ms: HOUR_MS },
  "1d": { label: "day", length_ms: 24 * HOUR_MS },
  "7d": { label: "7 days", length_ms: 7 * 24 * HOUR_MS },
  "30d": { label: "30 days", length_ms: 30 * 24 * HOUR_MS },
  "90d": { label: "90 days", length_ms: 90 * 24 * HOUR_MS },
  "1y": { label: "year", length_ms: 365 * 24 * HOUR_MS },
};
export const USUAL = "7d";

/** The moment of the URL in milliseconds; undefined for now, for what is no moment and for what is to come. */
export function pastMoment(at: string | undefined, now_ms: number): number | undefined {
  const at_ms = at === undefined ? Number.NaN : new Date(at).getTime();
  return at_ms < now_ms ? at_ms : undefined;
}

/** The span of the URL; without one the shortest in which the moment lies. */
export function spanOf(named: string | undefined, at_ms: number | undefined, until_ms: number): string {
  if (named !== undefined && named in SPANS) return named;
  if (at_ms === undefined) return USUAL;
  return Object.keys(SPANS).find((name) => until_ms - lengthOf(name) <= at_ms) ?? "1y";
}

export const lengthOf = (span: string): number => SPANS[span]?.length_ms ?? HOUR_MS;

/** The moments of changes, each once, in the order of the log. */
export function momentsOf(events: readonly Logged[]): number[] {
  return [...new Set(events.map(({ at }) => new Date(at).getTime()))].sort((a, b) => a - b);
}

/** The change before a moment, undefined: now; and the one after it, null: now. */
export function neighbours(moments: readonly number[], at_ms: number | undefined) {
  const earlier = moments.findLast((moment) => at_ms === undefined || moment < at_ms);
  const later = at_ms === undefined ? undefined : (moments.find((moment) => moment > at_ms) ?? null);
  return { earlier, later };
}

/** So many marks can be told from each other. */
const MARKS = 120;

/** Where to draw changes on a span: those that are too near to each other share a mark. */
export function marksOf(moments: readonly number[], since_ms: number, until_ms: number): number[] {
  const width = Math.max(1, (until_ms - since_ms) / MARKS);
  const shown = new Map<number, number>();
  for (const moment of moments) {
    if (moment < since_ms || moment > until_ms) continue;
    const place = Math.floor((moment - since_ms) / width);
    if (!shown.has(place)) shown.set(place, moment);
  }
  return [...shown.values()];
}

/** "grant.revoked #41". */
export const eventName = (event: Logged): string => `${kindOf(event)} #${event.position}`;
