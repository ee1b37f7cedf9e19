import type { Event } from "./queries";

export interface Field {
  name: string;
  /** What earlier events about the same thing said last; null: nothing. */
  before: string | null;
  after: string;
  changed: boolean;
}

function told(value: unknown): string {
  if (value === null) return "nothing";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** The fields of an event, each beside what an earlier event about the same thing said of it last. */
export function fieldsOf(event: Pick<Event, "data">, earlier: Pick<Event, "data">[]): Field[] {
  return Object.entries(event.data).map(([name, value]) => {
    const last = earlier.find(({ data }) => name in data);
    const before = last ? told(last.data[name]) : null;
    const after = told(value);
    // An id is the same in each event about a thing: it says nothing about a change.
    const changed = before !== null && before !== after;
    return { name, before: changed ? before : null, after, changed };
  });
}

/** Positions after which one is missing, in a list without filters that goes down. */
export function chainFaults(events: Pick<Event, "position">[]): number[] {
  return events.flatMap(({ position }, index) => {
    const next = events[index + 1];
    return next && next.position !== position - 1 ? [next.position] : [];
  });
}
