import { api, call, idempotencyKey, ifMatch, type Schemas } from "~/api/client";
import { usePages } from "~/api/pages";

export type AccessRequest = Schemas["AccessRequest"];
export type RequestStatus = AccessRequest["status"];
export const STATUSES: readonly RequestStatus[] = ["open", "approved", "denied", "withdrawn", "expired"];

export function useRequests(status: RequestStatus | undefined, user: string | undefined) {
  return usePages(["access-requests", { status, user }], (cursor) =>
    call(api.GET("/api/v1/access-requests", { params: { query: { status, user, cursor, limit: 100 } } })),
  );
}

export const requestQuery = (id: string) => ({
  queryKey: ["access-requests", id],
  queryFn: () => call(api.GET("/api/v1/access-requests/{request}", { params: { path: { request: id } } })),
});

type Target = Pick<AccessRequest, "id" | "version">;
const headers = ({ version }: Target, key: string) => ({ "idempotency-key": key, "if-match": ifMatch(version) });

export function approve(request: Target, body: Schemas["AccessRequestApprove"], key = idempotencyKey()) {
  const params = { path: { request: request.id }, header: headers(request, key) };
  return call(api.POST("/api/v1/access-requests/{request}/approve", { body, params }));
}

export function deny(request: Target, body: Schemas["AccessRequestDeny"], key = idempotencyKey()) {
  const params = { path: { request: request.id }, header: headers(request, key) };
  return call(api.POST("/api/v1/access-requests/{request}/deny", { body, params }));
}

/** "db.corp.internal:5432", and an address of version 6 in brackets. */
export function targetText({ target, port }: Pick<AccessRequest, "target" | "port">): string {
  if (port == null) return target;
  return target.includes(":") ? `[${target}]:${port}` : `${target}:${port}`;
}
