import { api, call, type Schemas } from "~/api/client";
import { usePages } from "~/api/pages";

export type Connection = Schemas["Connection"];
export type Event = Schemas["Event"];
type Filters = Record<string, string | undefined>;
/** Connections are records and no events: the stream does not tell of them. Agents report them each few seconds. */
export const RECORDS_POLL_MS = 5_000;

const CONNECTION_TEXTS = [
  "user",
  "device",
  "resource",
  "network",
  "connector",
  "flow",
  "token",
  "reporter",
  "outcome",
  "since",
  "until",
] as const;
const CONNECTION_FLAGS = ["denied", "open", "differs"] as const;
const EVENT_TEXTS = ["stream", "actor", "type", "since", "until"] as const;

/** Filters of the URL as the API takes them; what it does not know stays behind. */
export function connectionQuery(filters: Filters): Record<string, string | boolean> {
  const query: Record<string, string | boolean> = {};
  for (const name of CONNECTION_TEXTS) if (filters[name]) query[name] = filters[name];
  for (const name of CONNECTION_FLAGS) if (filters[name]) query[name] = filters[name] === "true";
  return query;
}

export function eventQuery(filters: Filters): Record<string, string> {
  const query: Record<string, string> = {};
  for (const name of EVENT_TEXTS) if (filters[name]) query[name] = filters[name];
  return query;
}

/** Where the export streams from, with the filters of the page. */
export function exportUrl(kind: "connections" | "events", format: "csv" | "jsonl", filters: Filters): string {
  const query = kind === "connections" ? connectionQuery(filters) : eventQuery(filters);
  const pairs = Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]);
  return `/api/v1/${kind}/export?${new URLSearchParams([["format", format], ...pairs])}`;
}

export function useConnections(filters: Filters) {
  const query = connectionQuery(filters);
  return usePages(
    ["connections", query],
    (cursor) => call(api.GET("/api/v1/connections", { params: { query: { ...query, cursor, limit: 100 } } })),
    RECORDS_POLL_MS,
  );
}

export function useEvents(filters: Filters) {
  const query = eventQuery(filters);
  return usePages(["events", query], (cursor) =>
    call(api.GET("/api/v1/events", { params: { query: { ...query, cursor, limit: 100 } } })),
  );
}

/** Both sides of one flow. */
export const flowQuery = (flow: string) => ({
  queryKey: ["connections", { flow }],
  queryFn: () => call(api.GET("/api/v1/connections", { params: { query: { flow, limit: 20 } } })),
});
