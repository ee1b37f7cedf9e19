import { api, call, idempotencyKey, ifMatch, type Schemas } from "~/api/client";
import { allOf, usePages } from "~/api/pages";
import type { Found } from "~/area";
import type { Blast } from "~/components/confirm-danger";
import { counted } from "~/components/words";
import { makePlan } from "~/pages/plans/queries";

export type Resource = Schemas["Resource"];

export function useResources(network: string | undefined, name: string | undefined) {
  return usePages(["resources", { network, name }], (cursor) =>
    call(api.GET("/api/v1/resources", { params: { query: { cursor, network, name, limit: 100 } } })),
  );
}

export const resourceQuery = (id: string) => ({
  queryKey: ["resources", id],
  queryFn: () => call(api.GET("/api/v1/resources/{resource}", { params: { path: { resource: id } } })),
});

export const networksQuery = {
  queryKey: ["networks", "all"],
  queryFn: () => allOf((cursor) => call(api.GET("/api/v1/networks", { params: { query: { cursor, limit: 200 } } }))),
};

/** Who reaches it now and why; the API folds its log for the answer. */
export function useAccess(resource: string) {
  return usePages(["access", { resource }], (cursor) =>
    call(api.GET("/api/v1/access", { params: { query: { resource, cursor, limit: 100 } } })),
  );
}

export function createResource(body: Schemas["ResourceCreate"], key = idempotencyKey()) {
  return call(api.POST("/api/v1/resources", { body, params: { header: { "idempotency-key": key } } }));
}

type Content = Required<Pick<Schemas["ResourceCreate"], "name" | "network" | "address" | "ports" | "lease_s">>;

/** What an address would mean as a resource; `resource` is the one that is being changed. */
export const previewQuery = (address: string, resource?: string) => ({
  queryKey: ["resources", "preview", { address, resource }],
  queryFn: () => call(api.GET("/api/v1/resources/preview", { params: { query: { address, resource } } })),
});

/** What the change does to people and connections. A document names things, so the new name is not in it: it touches nobody. */
export function planOfChange({ name }: Pick<Resource, "name">, network: string, { address, ports, lease_s }: Content) {
  // What JSON writes, YAML reads.
  return makePlan({
    document: JSON.stringify({ resources: [{ name, network, address, ports, lease_s }] }),
    prune: false,
  });
}

export function changeResource({ id, version }: Pick<Resource, "id" | "version">, body: Content) {
  const params = { path: { resource: id }, header: { "if-match": ifMatch(version) } };
  return call(api.PATCH("/api/v1/resources/{resource}", { body, params }));
}

export function removeResource({ id, version }: Pick<Resource, "id" | "version">) {
  const params = { path: { resource: id }, header: { "if-match": ifMatch(version) } };
  return call(api.DELETE("/api/v1/resources/{resource}", { params }));
}

/** What goes with a resource: people, grants, and connections that are open this moment. */
export async function blastOf({ id, name }: Pick<Resource, "id" | "name">): Promise<Blast> {
  const limit = 200;
  const [access, grants, open] = await Promise.all([
    call(api.GET("/api/v1/access", { params: { query: { resource: id, limit } } })),
    call(api.GET("/api/v1/grants", { params: { query: { resource: id, limit } } })),
    call(
      api.GET("/api/v1/connections", { params: { query: { resource: id, open: true, reporter: "connector", limit } } }),
    ),
  ]);
  const people = new Set(access.items.map((line) => line.subject));
  return {
    lines: [
      `${counted(people.size, "person", "people", access.next_cursor)} who can reach ${name} now will not reach it any more.`,
      `${counted(grants.items.length, "grant", "grants", grants.next_cursor)} will be removed with it.`,
      `${counted(open.items.length, "open connection", "open connections", open.next_cursor)} will be cut at once.`,
    ],
    // The grants go with it, and no plan brings them back.
    undo: null,
  };
}

/** By its name, or by its id. */
export async function findResources(typed: string): Promise<Found[]> {
  const query = { name: typed, limit: 5 };
  const byId = typed.startsWith("res_") ? [resourceQuery(typed).queryFn()] : [];
  const byName = call(api.GET("/api/v1/resources", { params: { query } })).then(({ items }) => items);
  const found = await Promise.allSettled([byName, ...byId]);
  return found
    .flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []))
    .map(({ id, name, address }) => ({ label: name, description: `Resource · ${address}`, to: `/resources/${id}` }));
}
