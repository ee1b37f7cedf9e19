import { useQueries, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { api, call } from "~/api/client";
import { allOf } from "~/api/pages";
import { useMay } from "~/api/session";
import { useEntries } from "~/pages/policy/directory";
import type { World } from "./graph";

/** So many pages of 200 of each kind. */
const PAGES = 3;
/** Of so many groups the members are asked for. */
const GROUPS = 40;
const query = (cursor: string | undefined) => ({ params: { query: { cursor, limit: 200 } } });

function useAll<T>(plural: string, permission: string, load: () => Promise<T[]>) {
  const may = useMay();
  const allowed = may(permission);
  const { data, error, isPending } = useQuery({ queryKey: [plural, "topology"], queryFn: load, enabled: allowed });
  return { items: data, error, pending: allowed && isPending };
}

interface Topology {
  world: World;
  pending: boolean;
  error: unknown;
}

/** All that the reader may see of the way from people to relays; it follows live events by its queries' keys. */
export function useTopology(): Topology {
  const grants = useAll("grants", "grants:read", () => allOf((c) => call(api.GET("/api/v1/grants", query(c))), PAGES));
  const resources = useAll("resources", "resources:read", () =>
    allOf((c) => call(api.GET("/api/v1/resources", query(c))), PAGES),
  );
  const networks = useAll("networks", "networks:read", () =>
    allOf((c) => call(api.GET("/api/v1/networks", query(c))), PAGES),
  );
  const connectors = useAll("connectors", "networks:read", () =>
    allOf((c) => call(api.GET("/api/v1/connectors", query(c))), PAGES),
  );
  const relays = useAll("relays", "relays:read", () => allOf((c) => call(api.GET("/api/v1/relays", query(c))), PAGES));
  const { entries: users } = useEntries("user");
  const { entries: groups } = useEntries("group");
  const { entries: accounts } = useEntries("service_account");
  const { entries: policies } = useEntries("policy");
  const members = useMembers(groups.map(({ id }) => id));
  const lists = [grants, resources, networks, connectors, relays];
  const world = useMemo(
    () => ({
      users,
      groups,
      accounts,
      policies,
      members,
      grants: grants.items ?? [],
      resources: resources.items ?? [],
      networks: networks.items ?? [],
      connectors: connectors.items ?? [],
      relays: relays.items ?? [],
    }),
    [
      users,
      groups,
      accounts,
      policies,
      members,
      grants.items,
      resources.items,
      networks.items,
      connectors.items,
      relays.items,
    ],
  );
  return {
    world,
    pending: lists.some(({ pending }) => pending),
    error: lists.find(({ error }) => error)?.error ?? null,
  };
}

function useMembers(groups: string[]): ReadonlyMap<string, readonly string[]> {
  const may = useMay();
  return useQueries({
    queries: (may("people:read") ? groups.slice(0, GROUPS) : []).map((group) => ({
      queryKey: ["groups", "topology", group],
      queryFn: async (): Promise<[string, string[]]> => {
        const params = { path: { group }, query: { limit: 200 } };
        const { items } = await call(api.GET("/api/v1/groups/{group}/members", { params }));
        return [group, items.map(({ id }) => id)];
      },
    })),
    combine: gather,
  });
}

function gather(answers: { data: [string, string[]] | undefined }[]): ReadonlyMap<string, readonly string[]> {
  return new Map(answers.flatMap(({ data }) => (data ? [data] : [])));
}
