import { expect, test } from "vitest";
import { focusOn, graphOf, type World, withoutCrowd } from "./graph";

const entry = (kind: "user" | "group", id: string) => ({ id, kind, label: id });
const WORLD = {
  users: [entry("user", "ada"), entry("user", "eve")],
  groups: [entry("group", "eng")],
  accounts: [],
  policies: [],
  members: new Map([["eng", ["ada", "gone"]]]),
  grants: [
    { id: "g1", subject: "eng", resource: "wiki", policy: null, expired: false },
    { id: "g2", subject: "eve", resource: "db", policy: "hours", expired: true, expires_at: "2026-01-01T00:00:00Z" },
  ],
  resources: [
    { id: "wiki", name: "wiki", network: "office" },
    { id: "db", name: "db", network: "lab" },
  ],
  networks: [
    { id: "office", name: "office" },
    { id: "lab", name: "lab" },
  ],
  connectors: [
    {
      id: "c1",
      name: "office-1",
      network: "office",
      relays: ["r1"],
      online: true,
      enrolled: true,
      since: "2026-01-01T00:00:00Z",
    },
    { id: "c2", name: "lab-1", network: "lab", relays: [], online: false, enrolled: false, since: null },
  ],
  relays: [{ id: "r1", name: "relay-1", online: false, enrolled: true, since: null }],
} as unknown as World;

const ids = ({ things }: { things: { id: string }[] }) => things.map(({ id }) => id).sort();

test("ties lead from people to relays, and never to what is not there", () => {
  const { ties } = graphOf(WORLD);
  expect(ties.map(({ from, to }) => `${from} ${to}`)).toEqual([
    "ada eng",
    "eng g1",
    "g1 wiki",
    "eve g2",
    "g2 db",
    "wiki office",
    "db lab",
    "office c1",
    "lab c2",
    "c1 r1",
  ]);
});

test("a focus keeps what leads to it and where it leads", () => {
  const graph = graphOf(WORLD);
  expect(ids(focusOn(graph, "wiki"))).toEqual(["ada", "c1", "eng", "g1", "office", "r1", "wiki"]);
  expect(ids(focusOn(graph, "eve"))).toEqual(["c2", "db", "eve", "g2", "lab"]);
});

test("states are told in words", () => {
  const states = new Map(graphOf(WORLD).things.map(({ id, state }) => [id, state?.label]));
  expect([states.get("c1"), states.get("c2"), states.get("r1"), states.get("g2"), states.get("g1")]).toEqual([
    "online",
    "not enrolled",
    "offline",
    "expired",
    undefined,
  ]);
});

test("in a crowd only people with grants of their own stand alone", () => {
  const graph = graphOf(WORLD);
  expect(withoutCrowd(graph, 2)).toBe(graph);
  expect(ids(withoutCrowd(graph, 1))).toEqual(ids(graph).filter((id) => id !== "ada"));
});
