import { useQuery } from "@tanstack/react-query";
import { api, call, type Schemas } from "~/api/client";
import { allOf } from "~/api/pages";
import { useMay } from "~/api/session";

export type SubjectKind = Schemas["Grant"]["subject_kind"];
export type Kind = SubjectKind | "resource" | "policy" | "device" | "connector" | "network" | "relay";

/** Something with a name; `hint` tells two of the same name apart. */
export interface Entry {
  id: string;
  kind: Kind;
  label: string;
  hint?: string;
}

/** So many pages of 200 are read at once; whatever is beyond them is asked for by its id. */
const PAGES = 5;
const query = (cursor: string | undefined) => ({ params: { query: { cursor, limit: 200 } } });

const user = ({ id, name, email }: { id: string; name?: string | null; email?: string | null }): Entry => ({
  id,
  kind: "user",
  label: name || email || id,
  ...(email && { hint: email }),
});
const named =
  (kind: Kind) =>
  (item: { id: string; name?: string | null; address?: string }): Entry => ({
    id: item.id,
    kind,
    label: item.name || item.id,
    ...(item.address && { hint: item.address }),
  });

interface Source {
  /** First word of the query's key, and of the pages' paths. */
  plural: string;
  permission: string;
  all: () => Promise<Entry[]>;
  one: (id: string) => Promise<Entry>;
}

export const SOURCES: Record<Exclude<Kind, "connector" | "network" | "relay">, Source> = {
  user: {
    plural: "users",
    permission: "people:read",
    all: async () => (await allOf((c) => call(api.GET("/api/v1/users", query(c))), PAGES)).map(user),
    one: async (id) => user(await call(api.GET("/api/v1/users/{user}", { params: { path: { user: id } } }))),
  },
  group: {
    plural: "groups",
    permission: "groups:read",
    all: async () => (await allOf((c) => call(api.GET("/api/v1/groups", query(c))), PAGES)).map(named("group")),
    one: async (id) =>
      named("group")(await call(api.GET("/api/v1/groups/{group}", { params: { path: { group: id } } }))),
  },
  service_account: {
    plural: "service-accounts",
    permission: "service-accounts:read",
    all: async () =>
      (await allOf((c) => call(api.GET("/api/v1/service-accounts", query(c))), PAGES)).map(named("service_account")),
    one: async (id) =>
      named("service_account")(
        await call(api.GET("/api/v1/service-accounts/{account}", { params: { path: { account: id } } })),
      ),
  },
  resource: {
    plural: "resources",
    permission: "resources:read",
    all: async () => (await allOf((c) => call(api.GET("/api/v1/resources", query(c))), PAGES)).map(named("resource")),
    one: async (id) =>
      named("resource")(await call(api.GET("/api/v1/resources/{resource}", { params: { path: { resource: id } } }))),
  },
  policy: {
    plural: "policies",
    permission: "policies:read",
    all: async () => (await allOf((c) => call(api.GET("/api/v1/policies", query(c))), PAGES)).map(named("policy")),
    one: async (id) =>
      named("policy")(await call(api.GET("/api/v1/policies/{policy}", { params: { path: { policy: id } } }))),
  },
  device: {
    plural: "devices",
    permission: "devices:read",
    all: async () => (await allOf((c) => call(api.GET("/api/v1/devices", query(c))), PAGES)).map(named("device")),
    one: async (id) =>
      named("device")(await call(api.GET("/api/v1/devices/{device}", { params: { path: { device: id } } }))),
  },
};

export type Listed = keyof typeof SOURCES;

/** Everything of a kind that has a name, as far as the reader may see it; empty otherwise. */
export function useEntries(kind: Listed, enabled = true): { entries: Entry[]; settled: boolean } {
  const may = useMay();
  const { plural, permission, all } = SOURCES[kind];
  const allowed = may(permission);
  const { data, isPending } = useQuery({
    queryKey: [plural, "names"],
    queryFn: all,
    enabled: enabled && allowed,
    staleTime: 60_000,
  });
  return { entries: data ?? [], settled: !allowed || !isPending };
}

/** What something is called; its id when the reader may not know, or nobody knows any more. */
export function useEntry(kind: Listed, id: string): Entry {
  const may = useMay();
  const { plural, permission, one } = SOURCES[kind];
  const { entries, settled } = useEntries(kind);
  const known = entries.find((entry) => entry.id === id);
  const { data } = useQuery({
    queryKey: [plural, "name", id],
    queryFn: () => one(id),
    enabled: settled && known === undefined && may(permission),
    retry: false,
    staleTime: 60_000,
  });
  return known ?? data ?? { id, kind, label: id };
}

/** Where the console shows it. */
export function pathOf(kind: Kind, id: string): string {
  const folder: Record<Kind, string> = {
    user: "users",
    group: "groups",
    service_account: "service-accounts",
    resource: "resources",
    policy: "policies",
    device: "devices",
    connector: "connectors",
    network: "networks",
    relay: "relays",
  };
  return `/${folder[kind]}/${id}`;
}
