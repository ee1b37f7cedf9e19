import { api, call, idempotencyKey, ifMatch, type Schemas } from "~/api/client";
import { usePages } from "~/api/pages";
import type { Blast } from "~/components/confirm-danger";
import { counted } from "~/components/words";

export type Exclusion = Schemas["Exclusion"];
export interface ExclusionFilters {
  subject?: string | undefined;
  resource?: string | undefined;
}

export function useExclusions(filters: ExclusionFilters) {
  return usePages(["exclusions", filters], (cursor) =>
    call(api.GET("/api/v1/exclusions", { params: { query: { ...filters, cursor, limit: 100 } } })),
  );
}

export const exclusionQuery = (id: string) => ({
  queryKey: ["exclusions", id],
  queryFn: () => call(api.GET("/api/v1/exclusions/{exclusion}", { params: { path: { exclusion: id } } })),
});

export function createExclusion(body: Schemas["ExclusionCreate"], key = idempotencyKey()) {
  return call(api.POST("/api/v1/exclusions", { body, params: { header: { "idempotency-key": key } } }));
}

export function removeExclusion({ id, version }: Pick<Exclusion, "id" | "version">) {
  const params = { path: { exclusion: id }, header: { "if-match": ifMatch(version) } };
  return call(api.DELETE("/api/v1/exclusions/{exclusion}", { params }));
}

/** Whom exclusions keep from the resource now: what this one kept from them, grants give back. */
export async function blastOf({ resource }: Pick<Exclusion, "resource">): Promise<Blast> {
  const query = { resource, denied: true, limit: 200 };
  const { items, next_cursor } = await call(api.GET("/api/v1/access", { params: { query } }));
  const kept = new Set(items.filter(({ reason }) => reason === "excluded").map(({ subject }) => subject));
  return {
    lines: [
      "Grants count again for whom it names, on this resource and on those that overlap it.",
      `Exclusions keep ${counted(kept.size, "person or service account", "people and service accounts", next_cursor)} from the resource at the moment.`,
    ],
    undo: "Its entry in the audit trail plans the same exclusion anew, with a new id.",
  };
}
