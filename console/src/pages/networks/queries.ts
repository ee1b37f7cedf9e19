import { api, call, ifMatch, type Schemas } from "~/api/client";
import { usePages } from "~/api/pages";
import type { Found } from "~/area";
import type { Blast } from "~/components/confirm-danger";
import { counted } from "~/components/words";

export type Network = Schemas["Network"];

export function useNetworks(name: string | undefined) {
  return usePages(["networks", { name }], (cursor) =>
    call(api.GET("/api/v1/networks", { params: { query: { cursor, name, limit: 100 } } })),
  );
}

export const networkQuery = (id: string) => ({
  queryKey: ["networks", id],
  queryFn: () => call(api.GET("/api/v1/networks/{network}", { params: { path: { network: id } } })),
});

export function createNetwork(body: Schemas["NetworkCreate"], key: string) {
  return call(api.POST("/api/v1/networks", { body, params: { header: { "idempotency-key": key } } }));
}

export function changeNetwork({ id, version }: Network, body: Schemas["NetworkChange"]) {
  const params = { path: { network: id }, header: { "if-match": ifMatch(version) } };
  return call(api.PATCH("/api/v1/networks/{network}", { params, body }));
}

export function removeNetwork({ id, version }: Network) {
  const params = { path: { network: id }, header: { "if-match": ifMatch(version) } };
  return call(api.DELETE("/api/v1/networks/{network}", { params }));
}

/** What stands in a network: only an empty one can be removed. */
export async function blastOfNetwork({ id, name }: Network): Promise<Blast> {
  const limit = 200;
  const query = { network: id, limit };
  const [connectors, resources] = await Promise.all([
    call(api.GET("/api/v1/connectors", { params: { query } })),
    call(api.GET("/api/v1/resources", { params: { query } })),
  ]);
  const lines = [
    connectors.items.length > 0 &&
      `${counted(connectors.items.length, "connector", "connectors", connectors.next_cursor)} in it must be removed first.`,
    resources.items.length > 0 &&
      `${counted(resources.items.length, "resource", "resources", resources.next_cursor)} in it must be removed first, or moved.`,
  ].filter((line) => line !== false);
  return {
    lines: lines.length > 0 ? lines : [`${name} is empty: nobody loses anything.`],
    undo: lines.length > 0 ? "Until then the controller refuses." : "Another one of this name can be made at any time.",
  };
}

export async function findNetworks(typed: string): Promise<Found[]> {
  const byId = typed.startsWith("net_") ? [networkQuery(typed).queryFn()] : [];
  const byName = call(api.GET("/api/v1/networks", { params: { query: { name: typed, limit: 5 } } }));
  const found = await Promise.allSettled([byName.then(({ items }) => items), ...byId]);
  return found
    .flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []))
    .map(({ id, name }) => ({ label: name, description: "Network", to: `/networks/${id}` }));
}
