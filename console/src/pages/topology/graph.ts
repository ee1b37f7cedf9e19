import type { Schemas } from "~/api/client";
import type { StatusKind } from "~/components/status";
import { type Entry, type Kind, pathOf } from "~/pages/policy/directory";

export type NodeKind = Kind | "grant";

export interface Thing {
  id: string;
  kind: NodeKind;
  label: string;
  to: string;
  /** Of its page, when that takes more than a path. */
  search?: Record<string, unknown>;
  state?: { kind: StatusKind; label: string; since?: string | null };
  /** What its state says is of now, though the rest is of another moment. */
  ofNow?: boolean;
}

export interface Tie {
  from: string;
  /** How the two belong together: "member of". */
  word: string;
  to: string;
  /** It is of now, though the rest is of another moment. */
  ofNow?: boolean;
}

export interface Graph {
  things: Thing[];
  ties: Tie[];
}

type GrantFields = "id" | "subject" | "resource" | "policy" | "expired" | "expires_at";
type ConnectorFields = "id" | "name" | "network" | "relays" | "online" | "enrolled" | "since";

/** What the lists of the API say, as far as it is drawn. */
export interface World {
  users: Entry[];
  groups: Entry[];
  accounts: Entry[];
  policies: Entry[];
  /** Members by group, as far as they are known. */
  members: ReadonlyMap<string, readonly string[]>;
  grants: Pick<Schemas["Grant"], GrantFields>[];
  resources: Pick<Schemas["Resource"], "id" | "name" | "network">[];
  networks: Pick<Schemas["Network"], "id" | "name">[];
  connectors: Pick<Schemas["Connector"], ConnectorFields>[];
  relays: Pick<Schemas["Relay"], "id" | "name" | "online" | "enrolled" | "since">[];
}

/** Agents report it, and the log does not hold it. */
export const ATTACHED = "is attached to";

/** The way from people to relays; ties lead that way, and only between things that are there. */
export function graphOf(world: World): Graph {
  const policyNames = new Map(world.policies.map(({ id, label }) => [id, label]));
  const entry = ({ id, kind, label }: Entry): Thing => ({ id, kind, label, to: pathOf(kind, id) });
  const named =
    (kind: Kind) =>
    ({ id, name }: { id: string; name: string }): Thing => ({ id, kind, label: name, to: pathOf(kind, id) });
  const things: Thing[] = [
    ...[...world.users, ...world.groups, ...world.accounts].map(entry),
    ...world.grants.map((grant) => grantThing(grant, policyNames)),
    ...world.resources.map(named("resource")),
    ...world.networks.map(named("network")),
    ...world.connectors.map((item) => ({ ...named("connector")(item), state: stateOf(item) })),
    ...world.relays.map((item) => ({ ...named("relay")(item), state: stateOf(item) })),
  ];
  const known = new Set(things.map(({ id }) => id));
  const ties: Tie[] = [
    ...[...world.members].flatMap(([to, users]) => users.map((from) => ({ from, word: "is a member of", to }))),
    ...world.grants.flatMap(({ id, subject, resource }) => [
      { from: subject, word: "holds", to: id },
      { from: id, word: "leads to", to: resource },
    ]),
    ...world.resources.map(({ id, network }) => ({ from: id, word: "lies in", to: network })),
    ...world.connectors.map(({ id, network }) => ({ from: network, word: "is served by", to: id })),
    ...world.connectors.flatMap(({ id, relays = [] }) =>
      relays.map((relay) => ({ from: id, word: ATTACHED, to: relay })),
    ),
  ];
  return { things, ties: ties.filter(({ from, to }) => known.has(from) && known.has(to)) };
}

function grantThing(
  { id, policy, expired, expires_at }: World["grants"][number],
  names: ReadonlyMap<string, string>,
): Thing {
  const label = policy ? `under ${names.get(policy) ?? policy}` : "no conditions";
  const state = expired ? ({ kind: "bad", label: "expired", since: expires_at } as const) : undefined;
  return { id, kind: "grant", label, to: `/grants/${id}`, ...(state && { state }) };
}

interface Agent {
  online: boolean;
  enrolled: boolean;
  since?: string | null;
}

function stateOf({ online, enrolled, since }: Agent): Thing["state"] {
  if (!enrolled) return { kind: "waiting", label: "not enrolled" };
  return online ? { kind: "good", label: "online", since: since ?? null } : { kind: "bad", label: "offline" };
}

/** What leads to a thing and where it leads: everything before and behind it, and itself. */
export function focusOn({ things, ties }: Graph, focus: string): Graph {
  const kept = new Set([...reached(ties, focus, "from", "to"), ...reached(ties, focus, "to", "from")]);
  return {
    things: things.filter(({ id }) => kept.has(id)),
    ties: ties.filter(({ from, to }) => kept.has(from) && kept.has(to)),
  };
}

function reached(ties: Tie[], start: string, near: "from" | "to", far: "from" | "to"): Set<string> {
  const next = new Map<string, string[]>();
  for (const tie of ties) next.set(tie[near], [...(next.get(tie[near]) ?? []), tie[far]]);
  const seen = new Set([start]);
  const waiting = [start];
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    for (const other of next.get(id) ?? []) {
      if (seen.has(other)) continue;
      seen.add(other);
      waiting.push(other);
    }
  }
  return seen;
}

/** Without a focus people stand for nothing that their groups do not show, once there are many of them. */
export function withoutCrowd(graph: Graph, crowd: number): Graph {
  const users = graph.things.filter(({ kind }) => kind === "user");
  if (users.length <= crowd) return graph;
  const holders = new Set(graph.ties.filter(({ word }) => word === "holds").map(({ from }) => from));
  const gone = new Set(users.map(({ id }) => id).filter((id) => !holders.has(id)));
  return {
    things: graph.things.filter(({ id }) => !gone.has(id)),
    ties: graph.ties.filter(({ from }) => !gone.has(from)),
  };
}
