import { api, call, idempotencyKey, ifMatch, type Schemas } from "~/api/client";
import { usePages } from "~/api/pages";
import type { Found } from "~/area";
import type { Blast } from "~/components/confirm-danger";

export type Policy = Schemas["Policy"];

export function usePolicies() {
  return usePages(["policies"], (cursor) =>
    call(api.GET("/api/v1/policies", { params: { query: { cursor, limit: 100 } } })),
  );
}

export const policyQuery = (id: string) => ({
  queryKey: ["policies", id],
  queryFn: () => call(api.GET("/api/v1/policies/{policy}", { params: { path: { policy: id } } })),
});

export function createPolicy(body: Schemas["PolicyCreate"], key = idempotencyKey()) {
  return call(api.POST("/api/v1/policies", { body, params: { header: { "idempotency-key": key } } }));
}

export function changePolicy({ id, version }: Pick<Policy, "id" | "version">, body: Schemas["PolicyChange"]) {
  const params = { path: { policy: id }, header: { "if-match": ifMatch(version) } };
  return call(api.PATCH("/api/v1/policies/{policy}", { body, params }));
}

export function removePolicy({ id, version }: Pick<Policy, "id" | "version">) {
  const params = { path: { policy: id }, header: { "if-match": ifMatch(version) } };
  return call(api.DELETE("/api/v1/policies/{policy}", { params }));
}

/** The API removes no policy that a grant is under; so nobody loses or gains anything by it. */
export async function blastOf({ grants }: Pick<Policy, "grants">): Promise<Blast> {
  const line =
    grants === 0
      ? "No grant is under it: nobody gains or loses anything."
      : `${grants} ${grants === 1 ? "grant is" : "grants are"} under it: revoke them first, or it will be refused.`;
  return { lines: [line], undo: "Its entry in the audit trail plans the same policy anew, with a new id." };
}

export async function findPolicies(typed: string): Promise<Found[]> {
  const { items } = await call(api.GET("/api/v1/policies", { params: { query: { name: typed, limit: 5 } } }));
  return items.map(({ id, name }) => ({ label: name, description: "Policy", to: `/policies/${id}` }));
}
