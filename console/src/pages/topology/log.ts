import { useQueries } from "@tanstack/react-query";
import { api, call } from "~/api/client";
import { useMay } from "~/api/session";
import type { Logged } from "./past";

/** What changes the topology or the policy over it: types by their beginning, and the first word of the query's key. */
const CHANGES: [plural: string, type: string][] = [
  ["grants", "grant."],
  ["exclusions", "exclusion."],
  ["policies", "policy."],
  ["groups", "group."],
  ["users", "user.created"],
  ["users", "user.removed"],
  ["service-accounts", "service_account.created"],
  ["service-accounts", "service_account.removed"],
  ["resources", "resource."],
  ["networks", "network."],
  ["connectors", "connector.created"],
  ["connectors", "connector.removed"],
  ["relays", "relay.created"],
  ["relays", "relay.removed"],
];
/** So many pages of each type: what is drawn at all has fewer changes behind it. */
const PAGES = 10;
const LIMIT = 500;

interface Part {
  events: Logged[];
  whole: boolean;
}

export interface Log {
  /** In the order of the log. */
  events: Logged[];
  /** False: it is longer than what is read here, and a picture of the past would be wrong. */
  whole: boolean;
  pending: boolean;
  error: unknown;
  /** Until when it was read, milliseconds. */
  until_ms: number;
}

async function partOf(type: string): Promise<Part> {
  const events: Logged[] = [];
  let cursor: string | undefined;
  for (let n = 0; n < PAGES; n++) {
    const page = await call(api.GET("/api/v1/events", { params: { query: { type, cursor, limit: LIMIT } } }));
    events.push(...page.items);
    if (!page.next_cursor) return { events, whole: true };
    cursor = page.next_cursor;
  }
  return { events, whole: false };
}

/** Every change that the log has of the topology. It follows live events by its queries' keys. */
export function useLog(wanted: boolean): Log {
  const may = useMay();
  const enabled = wanted && may("audit:read");
  return useQueries({
    queries: CHANGES.map(([plural, type]) => ({
      queryKey: [plural, "log", type],
      queryFn: () => partOf(type),
      enabled,
      staleTime: 60_000,
    })),
    combine: gather,
  });
}

interface Answer {
  data: Part | undefined;
  error: unknown;
  isPending: boolean;
  dataUpdatedAt: number;
}

function gather(answers: Answer[]): Log {
  const events = answers.flatMap(({ data }) => data?.events ?? []).sort((a, b) => a.position - b.position);
  const newest = events.at(-1);
  return {
    events,
    whole: answers.every(({ data }) => data?.whole !== false),
    pending: answers.some(({ isPending }) => isPending),
    error: answers.find(({ error }) => error)?.error ?? null,
    // The controller's clock may be ahead of this one.
    until_ms: Math.max(
      ...answers.map(({ dataUpdatedAt }) => dataUpdatedAt),
      newest ? new Date(newest.at).getTime() : 0,
    ),
  };
}
