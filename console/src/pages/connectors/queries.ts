import { api, call, ifMatch, type Schemas } from "~/api/client";
import { allOf, usePages } from "~/api/pages";
import type { Found } from "~/area";
import type { Blast } from "~/components/confirm-danger";
import { counted } from "~/components/words";

export type Connector = Schemas["Connector"];

interface Filters {
  network?: string;
  name?: string;
  online?: boolean;
}

export function useConnectors(filters: Filters) {
  return usePages(["connectors", filters], (cursor) =>
    call(api.GET("/api/v1/connectors", { params: { query: { cursor, ...filters, limit: 100 } } })),
  );
}

export const connectorsOfAll = {
  queryKey: ["connectors", "all"],
  queryFn: () => allOf((cursor) => call(api.GET("/api/v1/connectors", { params: { query: { cursor, limit: 200 } } }))),
};

export const connectorQuery = (id: string) => ({
  queryKey: ["connectors", id],
  queryFn: () => call(api.GET("/api/v1/connectors/{connector}", { params: { path: { connector: id } } })),
});

/** What a connector lately served or refused, newest first, as it told itself. */
export const servedQuery = (connector: string, limit = 200) => ({
  queryKey: ["connections", { connector, limit }],
  queryFn: () =>
    call(api.GET("/api/v1/connections", { params: { query: { connector, reporter: "connector", limit } } })),
});

export function createConnector(body: Schemas["ConnectorCreate"], key: string) {
  return call(api.POST("/api/v1/connectors", { body, params: { header: { "idempotency-key": key } } }));
}

export function newConnectorToken(connector: string, key: string) {
  const params = { path: { connector }, header: { "idempotency-key": key } };
  return call(api.POST("/api/v1/connectors/{connector}/enrolment", { params }));
}

export function removeConnector({ id, version }: Connector) {
  const params = { path: { connector: id }, header: { "if-match": ifMatch(version) } };
  return call(api.DELETE("/api/v1/connectors/{connector}", { params }));
}

/** What goes with a connector: connections through it, and perhaps the only way into its network. */
export async function blastOfConnector({ id, network, flows = 0 }: Connector): Promise<Blast> {
  const limit = 200;
  const [siblings, resources] = await Promise.all([
    call(api.GET("/api/v1/connectors", { params: { query: { network, online: true, limit } } })),
    call(api.GET("/api/v1/resources", { params: { query: { network, limit } } })),
  ]);
  const others = siblings.items.filter((item) => item.id !== id).length;
  return {
    lines: [
      `${counted(flows, "open connection", "open connections")} through it will be cut at once.`,
      others > 0
        ? `${counted(others, "other connector", "other connectors")} of its network will carry on.`
        : `It is the only way in: ${counted(resources.items.length, "resource", "resources", resources.next_cursor)} of its network will be out of reach.`,
    ],
    undo: "Deploy another one at any time; it gets a new id and a new key.",
  };
}

export async function findConnectors(typed: string): Promise<Found[]> {
  const byId = typed.startsWith("con_") ? [connectorQuery(typed).queryFn()] : [];
  const byName = call(api.GET("/api/v1/connectors", { params: { query: { name: typed, limit: 5 } } }));
  const found = await Promise.allSettled([byName.then(({ items }) => items), ...byId]);
  return found
    .flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []))
    .map(({ id, name }) => ({ label: name, description: "Connector", to: `/connectors/${id}` }));
}
