import { api, call } from "~/api/client";
import { allOf } from "~/api/pages";

type Item = { id: string; name?: string | null; email?: string | null };
interface Page {
  items: Item[];
  next_cursor?: string | null;
}

/** Lists whose names are worth having beside ids, each with what it takes to read it. */
const LISTS: [string, (cursor: string | undefined) => Promise<Page>][] = [
  ["people:read", (cursor) => call(api.GET("/api/v1/users", { params: { query: { cursor, limit: 200 } } }))],
  ["resources:read", (cursor) => call(api.GET("/api/v1/resources", { params: { query: { cursor, limit: 200 } } }))],
  ["networks:read", (cursor) => call(api.GET("/api/v1/networks", { params: { query: { cursor, limit: 200 } } }))],
  ["networks:read", (cursor) => call(api.GET("/api/v1/connectors", { params: { query: { cursor, limit: 200 } } }))],
  ["relays:read", (cursor) => call(api.GET("/api/v1/relays", { params: { query: { cursor, limit: 200 } } }))],
  ["groups:read", (cursor) => call(api.GET("/api/v1/groups", { params: { query: { cursor, limit: 200 } } }))],
  [
    "service-accounts:read",
    (cursor) => call(api.GET("/api/v1/service-accounts", { params: { query: { cursor, limit: 200 } } })),
  ],
  ["devices:read", (cursor) => call(api.GET("/api/v1/devices", { params: { query: { cursor, limit: 200 } } }))],
];
/** Of each list; ids beyond that are shown as ids. */
const PAGES_MAX = 5;

/** Names by id, of what the person may read; kept for minutes, because names seldom change. */
export const namesQuery = (may: (permission: string) => boolean) => ({
  queryKey: ["names"],
  staleTime: 300_000,
  queryFn: async () => {
    const open = LISTS.filter(([permission]) => may(permission));
    const answers = await Promise.allSettled(open.map(([, load]) => allOf(load, PAGES_MAX)));
    const found = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
    return new Map(found.map((item) => [item.id, item.name || item.email || item.id]));
  },
});
