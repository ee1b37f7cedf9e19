/**
 * What there was at a moment, read from the audit trail: which people, groups, grants and places existed, and who was a
 * member. It says what was written down, and judges nothing: who could reach what is the API's answer (`/access?at=`).
 */
import type { Schemas } from "~/api/client";
import type { Entry, Kind } from "~/pages/policy/directory";
import { ATTACHED, type Graph, graphOf, type Thing, type World } from "./graph";

export type Logged = Pick<Schemas["Event"], "position" | "type" | "at" | "data" | "names">;

export interface Past {
  graph: Graph;
  /** The newest event of the moment; undefined before the first one. */
  last: Logged | undefined;
}

/** "grant.created" of "grant.created/2". */
export const kindOf = ({ type }: Pick<Logged, "type">): string => type.split("/")[0] ?? type;

/** The fields of those events that are read here. */
interface Fields {
  user: string;
  group: string;
  service_account: string;
  policy: string | null;
  grant: string;
  subject: string;
  resource: string;
  network: string;
  connector: string;
  relay: string;
  name: string;
  expires: number | null;
}

interface Held {
  kind: Thing["kind"];
  id: string;
  name: string;
  /** Of a resource and a connector: its network. */
  network: string;
  /** Of a grant. */
  subject: string;
  resource: string;
  policy: string | null;
  expires: number | null;
}

const NOTHING = { name: "", network: "", subject: "", resource: "", policy: null, expires: null };
/** Which field of an event about a thing has its id, and what it is. */
const SUBJECTS: Record<string, Thing["kind"]> = {
  user: "user",
  group: "group",
  service_account: "service_account",
  policy: "policy",
  grant: "grant",
  resource: "resource",
  network: "network",
  connector: "connector",
  relay: "relay",
};
const MAKES = ["created", "changed", "renamed"];
const ENDS = ["removed", "revoked"];

/** The log up to where it was read. */
class Fold {
  readonly held = new Map<string, Held>();
  readonly members = new Map<string, Set<string>>();
  /** When what is gone went. */
  readonly left = new Map<string, string>();

  read(event: Logged): void {
    const [subject = "", verb = ""] = kindOf(event).split(".");
    const fields = event.data as unknown as Fields & Record<string, string>;
    const kind = SUBJECTS[subject];
    const id = fields[subject];
    if (kind === undefined || id === undefined) return;
    if (verb === "member_added") this.members.set(id, new Set(this.members.get(id)).add(fields.user));
    else if (verb === "member_removed") this.members.get(id)?.delete(fields.user);
    else if (ENDS.includes(verb)) this.drop(id, event.at);
    else if (MAKES.includes(verb)) this.make(kind, id, event);
  }

  private make(kind: Thing["kind"], id: string, { data, names }: Logged): void {
    const { name, network, subject, resource, policy, expires } = data as unknown as Partial<Fields>;
    const told = { name: name ?? names[id], network, subject, resource, policy, expires };
    const known = Object.fromEntries(Object.entries(told).filter(([, value]) => value !== undefined));
    this.held.set(id, { ...NOTHING, name: id, ...this.held.get(id), ...known, kind, id });
  }

  /** What ends takes its grants and memberships with it: the log says so by its end alone. */
  private drop(id: string, at: string): void {
    const kind = this.held.get(id)?.kind;
    this.held.delete(id);
    this.left.set(id, at);
    if (kind === "grant") return;
    this.members.delete(id);
    if (kind === "user") for (const users of this.members.values()) users.delete(id);
    for (const { kind, id: grant, subject, resource } of this.held.values()) {
      if (kind === "grant" && (subject === id || resource === id)) this.drop(grant, at);
    }
  }

  world(at_ms: number, now: World): World {
    const of = (kind: Thing["kind"]) => [...this.held.values()].filter((held) => held.kind === kind);
    const entries = (kind: Kind, present: Entry[]) => {
      const known = new Map(present.map((entry) => [entry.id, entry]));
      // People's names are no part of the log: the present one is what can be told.
      return of(kind).map(({ id, name }) => ({ id, kind, label: (kind === "user" && known.get(id)?.label) || name }));
    };
    const connectors = new Map(now.connectors.map((item) => [item.id, item]));
    const relays = new Map(now.relays.map((item) => [item.id, item]));
    return {
      users: entries("user", now.users),
      groups: entries("group", now.groups),
      accounts: entries("service_account", now.accounts),
      policies: entries("policy", now.policies),
      members: new Map([...this.members].map(([group, users]) => [group, [...users]])),
      grants: of("grant").map((held) => grantAt(held, at_ms)),
      resources: of("resource"),
      networks: of("network"),
      connectors: of("connector").map(({ id, name, network }) => ({
        ...UNKNOWN,
        ...connectors.get(id),
        id,
        name,
        network,
      })),
      relays: of("relay").map(({ id, name }) => ({ ...UNKNOWN, ...relays.get(id), id, name })),
    };
  }
}

const UNKNOWN = { relays: [], online: false, enrolled: true, since: null };

function grantAt({ id, subject, resource, policy, expires }: Held, at_ms: number): World["grants"][number] {
  const ends_ms = expires === null ? null : expires * 1000;
  return {
    id,
    subject,
    resource,
    policy,
    expired: ends_ms !== null && ends_ms <= at_ms,
    expires_at: ends_ms === null ? null : new Date(ends_ms).toISOString(),
  };
}

/** The way from people to relays at a moment; `events` in the order of the log, `now` as the lists say it. */
export function pastOf(events: readonly Logged[], at_ms: number, now: World): Past {
  const fold = new Fold();
  const next = events.findIndex(({ at }) => new Date(at).getTime() > at_ms);
  const count = next === -1 ? events.length : next;
  for (const event of events.slice(0, count)) fold.read(event);
  const graph = graphOf(fold.world(at_ms, now));
  fold.left.clear();
  for (const event of events.slice(count)) fold.read(event);
  const live = new Set([...now.connectors, ...now.relays].map(({ id }) => id));
  return { graph: marked(graph, fold.left, live), last: events[count - 1] };
}

/** Says of each thing whether it is gone, and of what is live that it is of now. */
function marked({ things, ties }: Graph, left: ReadonlyMap<string, string>, live: ReadonlySet<string>): Graph {
  return {
    things: things.map((thing): Thing => {
      const gone = left.get(thing.id);
      if (gone !== undefined) {
        const page = { to: "/events", search: { stream: thing.id } };
        const then = thing.kind === "grant" && thing.state ? `${thing.state.label}, ` : "";
        return { ...thing, ...page, state: { kind: "unknown", label: `${then}gone now`, since: gone } };
      }
      if (thing.kind !== "connector" && thing.kind !== "relay") return thing;
      const label = live.has(thing.id) && thing.state ? `${thing.state.label} now` : "state not known";
      return { ...thing, ofNow: true, state: { kind: "unknown", label } };
    }),
    ties: ties.map((tie) => (tie.word === ATTACHED ? { ...tie, word: "is attached now to", ofNow: true } : tie)),
  };
}
