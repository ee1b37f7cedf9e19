import { api, call, idempotencyKey, ifMatch, type Schemas } from "~/api/client";
import { usePages } from "~/api/pages";
import type { Blast } from "~/components/confirm-danger";
import { counted } from "~/components/words";

export type Grant = Schemas["Grant"];
export interface GrantFilters {
  subject?: string | undefined;
  resource?: string | undefined;
  policy?: string | undefined;
}

export function useGrants(filters: GrantFilters) {
  return usePages(["grants", filters], (cursor) =>
    call(api.GET("/api/v1/grants", { params: { query: { ...filters, cursor, limit: 100 } } })),
  );
}

export const grantQuery = (id: string) => ({
  queryKey: ["grants", id],
  queryFn: () => call(api.GET("/api/v1/grants/{grant}", { params: { path: { grant: id } } })),
});

export function createGrant(body: Schemas["GrantCreate"], key = idempotencyKey()) {
  return call(api.POST("/api/v1/grants", { body, params: { header: { "idempotency-key": key } } }));
}

export function revokeGrant({ id, version }: Pick<Grant, "id" | "version">) {
  const params = { path: { grant: id }, header: { "if-match": ifMatch(version) } };
  return call(api.DELETE("/api/v1/grants/{grant}", { params }));
}

/** Who reaches the resource by this grant alone, and which open connections rest on nothing else. */
export async function blastOf({ id, resource }: Pick<Grant, "id" | "resource">): Promise<Blast> {
  const limit = 200;
  const [access, open] = await Promise.all([
    call(api.GET("/api/v1/access", { params: { query: { resource, limit } } })),
    call(api.GET("/api/v1/connections", { params: { query: { resource, open: true, reporter: "connector", limit } } })),
  ]);
  const people = new Set(onlyBy(id, access.items).map(({ subject }) => subject));
  const cut = onlyBy(id, open.items);
  return {
    lines: [
      `${counted(people.size, "person or service account", "people and service accounts", access.next_cursor)} who can reach the resource now will not reach it any more.`,
      `${counted(cut.length, "open connection", "open connections", open.next_cursor)} will be cut within a second.`,
    ],
    undo: "Its entry in the audit trail plans the same grant anew, with a new id.",
  };
}

/** Those that rest on this one grant and on no other. */
export function onlyBy<T extends { grants: string[] }>(grant: string, items: T[]): T[] {
  return items.filter(({ grants }) => grants.length > 0 && grants.every((each) => each === grant));
}
