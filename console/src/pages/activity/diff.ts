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

/** What the controller knows how to take back; whether it still can for this one, it says when it is asked. */
const WITH_INVERSE = [
  "group.created",
  "group.renamed",
  "group.member_added",
  "group.member_removed",
  "user.disabled",
  "service_account.disabled",
  "service_account.enabled",
  "device.trusted",
  "device.untrusted",
  "grant.created",
  "grant.revoked",
  "exclusion.created",
  "exclusion.removed",
  "policy.created",
  "policy.changed",
  "policy.removed",
  "network.created",
  "network.renamed",
  "network.egress_changed",
  "network.removed",
  "resource.created",
  "resource.changed",
];

/** Whether an event of this type, such as "grant.created/2", can be taken back by a plan. */
export function hasInverse(type: string): boolean {
  return WITH_INVERSE.includes(type.split("/")[0] ?? "");
}
