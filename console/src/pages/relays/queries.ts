import { api, call, ifMatch, type Schemas } from "~/api/client";
import { allOf, usePages } from "~/api/pages";
import type { Found } from "~/area";
import type { Blast } from "~/components/confirm-danger";
import { counted } from "~/components/words";

export type Relay = Schemas["Relay"];

export function useRelays(name: string | undefined) {
  return usePages(["relays", { name }], (cursor) =>
    call(api.GET("/api/v1/relays", { params: { query: { cursor, name, limit: 100 } } })),
  );
}

export const relaysOfAll = {
  queryKey: ["relays", "all"],
  queryFn: () => allOf((cursor) => call(api.GET("/api/v1/relays", { params: { query: { cursor, limit: 200 } } }))),
};

export const relayQuery = (id: string) => ({
  queryKey: ["relays", id],
  queryFn: () => call(api.GET("/api/v1/relays/{relay}", { params: { path: { relay: id } } })),
});

export function createRelay(body: Schemas["RelayCreate"], key: string) {
  return call(api.POST("/api/v1/relays", { body, params: { header: { "idempotency-key": key } } }));
}

export function newRelayToken(relay: string, key: string) {
  const params = { path: { relay }, header: { "idempotency-key": key } };
  return call(api.POST("/api/v1/relays/{relay}/enrolment", { params }));
}

export function removeRelay({ id, version }: Relay) {
  const params = { path: { relay: id }, header: { "if-match": ifMatch(version) } };
  return call(api.DELETE("/api/v1/relays/{relay}", { params }));
}

/** What goes with a relay: pairs through it, and connectors that have no other one. */
export async function blastOfRelay({ id, pairs = 0 }: Relay): Promise<Blast> {
  const connectors = await allOf((cursor) =>
    call(api.GET("/api/v1/connectors", { params: { query: { cursor, limit: 200 } } })),
  );
  const here = connectors.filter(({ relays = [] }) => relays.includes(id));
  const only = here.filter(({ relays = [] }) => relays.length === 1);
  return {
    lines: [
      `${counted(here.length, "connector", "connectors")} will leave it.`,
      only.length > 0
        ? `${counted(only.length, "connector has", "connectors have")} no other relay: what is behind will be out of reach through a relay.`
        : "Every connector at it has another relay.",
      `${counted(pairs, "tunnel", "tunnels")} that it carries now will have to find another way.`,
    ],
    undo: "Add it again at any time; its host then enrols anew.",
  };
}

export async function findRelays(typed: string): Promise<Found[]> {
  const byId = typed.startsWith("rel_") ? [relayQuery(typed).queryFn()] : [];
  const byName = call(api.GET("/api/v1/relays", { params: { query: { name: typed, limit: 5 } } }));
  const found = await Promise.allSettled([byName.then(({ items }) => items), ...byId]);
  return found
    .flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []))
    .map(({ id, name, fqdn }) => ({ label: name, description: `Relay · ${fqdn}`, to: `/relays/${id}` }));
}
