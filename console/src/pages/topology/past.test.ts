import { expect, test } from "vitest";
import type { World } from "./graph";
import { eventName, marksOf, momentsOf, neighbours, pastMoment, spanOf } from "./moments";
import { type Logged, pastOf } from "./past";

const START = Date.UTC(2026, 10, 22, 12);
const minute = (n: number) => START + n * 60_000;
const log = (...entries: [type: string, data: Record<string, unknown>][]): Logged[] =>
  entries.map(([type, data], n) => ({
    position: n + 1,
    type: `${type}/1`,
    at: new Date(minute(n)).toISOString(),
    data,
    names: { ada: "Ada then" },
  }));

const LOG = log(
  ["user.created", { user: "ada", role: "member" }],
  ["group.created", { group: "eng", name: "engineers" }],
  ["group.member_added", { group: "eng", user: "ada" }],
  ["network.created", { network: "office", name: "office" }],
  ["resource.created", { resource: "wiki", network: "office", name: "wiki" }],
  ["grant.created", { grant: "g1", subject: "eng", resource: "wiki", expires: minute(8) / 1000, policy: null }],
  ["connector.created", { connector: "c1", network: "office", name: "office-1" }],
  ["group.renamed", { group: "eng", name: "builders" }],
  ["policy.created", { policy: "hours", name: "office hours" }],
  ["group.member_removed", { group: "eng", user: "ada" }],
  ["resource.removed", { resource: "wiki" }],
);
const NOW = {
  users: [{ id: "ada", kind: "user", label: "Ada" }],
  groups: [],
  accounts: [],
  policies: [],
  members: new Map(),
  grants: [],
  resources: [],
  networks: [],
  connectors: [
    { id: "c1", name: "office-1", network: "office", relays: [], online: true, enrolled: true, since: null },
  ],
  relays: [],
} as World;

const at = (n: number) => pastOf(LOG, minute(n), NOW);
const ties = (n: number) => at(n).graph.ties.map(({ from, to }) => `${from} ${to}`);
const thing = (n: number, id: string) => at(n).graph.things.find((one) => one.id === id);

test("there is what the log had made by then", () => {
  expect(at(-1)).toEqual({ graph: { things: [], ties: [] }, last: undefined });
  expect(ties(2)).toEqual(["ada eng"]);
  expect(ties(6)).toEqual(["ada eng", "eng g1", "g1 wiki", "wiki office", "office c1"]);
  expect(at(6.5).last?.position).toBe(7);
});

test("names are those of then, but people's are of now", () => {
  expect(thing(6, "eng")?.label).toBe("engineers");
  expect(thing(7, "eng")?.label).toBe("builders");
  expect(thing(6, "ada")?.label).toBe("Ada");
  const nobody = pastOf(LOG, minute(6), { ...NOW, users: [] });
  expect(nobody.graph.things[0]?.label).toBe("Ada then");
});

test("what ends takes its grants and memberships with it, and says that it is gone", () => {
  expect(ties(10)).toEqual(["office c1"]);
  expect(thing(10, "g1")).toBeUndefined();
  const gone = { kind: "unknown", label: "gone now", since: new Date(minute(10)).toISOString() };
  expect(thing(6, "g1")).toMatchObject({ state: gone, to: "/events", search: { stream: "g1" } });
  expect(thing(6, "eng")?.state).toBeUndefined();
  expect(thing(9, "g1")?.state?.label).toBe("expired, gone now");
  const without = [...LOG, ...log(["user.removed", { user: "ada" }])].map((event, n) => ({
    ...event,
    at: new Date(minute(n)).toISOString(),
  }));
  expect(
    pastOf(
      without.filter(({ type }) => !type.startsWith("group.member_removed")),
      minute(11),
      NOW,
    ).graph.ties,
  ).toHaveLength(1);
});

test("what is live is told as of now", () => {
  expect(thing(6, "c1")).toMatchObject({ ofNow: true, state: { kind: "unknown", label: "online now" } });
  const unseen = pastOf(LOG, minute(6), { ...NOW, connectors: [] });
  expect(unseen.graph.things.at(-1)?.state?.label).toBe("state not known");
});

test("an attachment is of now", () => {
  const relays = [{ id: "r1", name: "relay-1", online: true, enrolled: true, since: null }];
  const made = [...LOG, { ...log(["relay.created", { relay: "r1", name: "relay-1" }])[0], at: LOG[10]?.at } as Logged];
  const attached = { ...NOW, relays, connectors: [{ ...NOW.connectors[0], relays: ["r1"] }] } as World;
  expect(pastOf(made, minute(10), attached).graph.ties.at(-1)).toEqual({
    from: "c1",
    word: "is attached now to",
    to: "r1",
    ofNow: true,
  });
});

test("a moment that is none, or is to come, is now", () => {
  expect(pastMoment(undefined, START)).toBeUndefined();
  expect(pastMoment("yesterday", START)).toBeUndefined();
  expect(pastMoment(new Date(minute(1)).toISOString(), START)).toBeUndefined();
  expect(pastMoment(new Date(minute(-1)).toISOString(), START)).toBe(minute(-1));
});

test("without a span the shortest that shows the moment is taken", () => {
  expect(spanOf("90d", undefined, START)).toBe("90d");
  expect(spanOf("nonsense", undefined, START)).toBe("7d");
  expect(spanOf(undefined, minute(-30), START)).toBe("1h");
  expect(spanOf(undefined, minute(-300), START)).toBe("1d");
  expect(spanOf(undefined, minute(-2_000_000), START)).toBe("1y");
});

test("changes are gone through one by one, and the last is followed by now", () => {
  const moments = momentsOf([...LOG.slice(0, 3), ...LOG.slice(0, 1)]);
  expect(moments).toEqual([minute(0), minute(1), minute(2)]);
  expect(neighbours(moments, undefined)).toEqual({ earlier: minute(2), later: undefined });
  expect(neighbours(moments, minute(1))).toEqual({ earlier: minute(0), later: minute(2) });
  expect(neighbours(moments, minute(2))).toEqual({ earlier: minute(1), later: null });
  expect(neighbours(moments, minute(0)).earlier).toBeUndefined();
});

test("marks that are too near to each other are one", () => {
  const moments = Array.from({ length: 5_000 }, (_, n) => START + n);
  expect(marksOf(moments, START, START + 4_999).length).toBeLessThanOrEqual(121);
  expect(marksOf(moments, START + 6_000, START + 9_000)).toEqual([]);
  expect(marksOf([minute(1)], START, minute(2))).toEqual([minute(1)]);
});

test("an event is named by what it is and where it stands", () => {
  expect(LOG[5] && eventName(LOG[5])).toBe("grant.created #6");
});
