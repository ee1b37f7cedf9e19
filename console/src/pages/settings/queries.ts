import { api, call, ifMatch, type Schemas } from "~/api/client";
import { usePages } from "~/api/pages";

export type Provider = Schemas["IdentityProvider"];
export type ApiToken = Schemas["ApiToken"];
export type Session = Schemas["Session"];
export type Key = Schemas["Key"];
export type Sink = Schemas["Sink"];

export function useProviders() {
  return usePages(["identity-providers"], (cursor) =>
    call(api.GET("/api/v1/identity-providers", { params: { query: { cursor, limit: 100 } } })),
  );
}

export function createProvider(body: Schemas["IdentityProviderCreate"], key: string) {
  return call(api.POST("/api/v1/identity-providers", { body, params: { header: { "idempotency-key": key } } }));
}

export function changeProvider({ id, version }: Provider, body: Schemas["IdentityProviderChange"]) {
  const params = { path: { provider: id }, header: { "if-match": ifMatch(version) } };
  return call(api.PATCH("/api/v1/identity-providers/{provider}", { params, body }));
}

export function removeProvider({ id, version }: Provider) {
  const params = { path: { provider: id }, header: { "if-match": ifMatch(version) } };
  return call(api.DELETE("/api/v1/identity-providers/{provider}", { params }));
}

export function mapGroups({ id, version }: Pick<Provider, "id" | "version">, groups: Schemas["GroupMapping"][]) {
  const params = { path: { provider: id }, header: { "if-match": ifMatch(version) } };
  return call(api.PUT("/api/v1/identity-providers/{provider}/groups", { body: { groups }, params }));
}

export function checkProvider(id: string) {
  return call(api.POST("/api/v1/identity-providers/{provider}/check", { params: { path: { provider: id } } }));
}

export const rulesQuery = {
  queryKey: ["sign-in-rules"],
  queryFn: () => call(api.GET("/api/v1/sign-in-rules")),
};

export function changeRules(version: number, body: Schemas["SignInRulesChange"]) {
  return call(api.PUT("/api/v1/sign-in-rules", { body, params: { header: { "if-match": ifMatch(version) } } }));
}

export function useTokens(owner: string | undefined) {
  return usePages(["api-tokens", { owner }], (cursor) =>
    call(api.GET("/api/v1/api-tokens", { params: { query: { cursor, owner, limit: 100 } } })),
  );
}

export const rolesQuery = { queryKey: ["roles"], staleTime: 600_000, queryFn: () => call(api.GET("/api/v1/roles")) };

export function createToken(body: Schemas["ApiTokenCreate"], key: string) {
  return call(api.POST("/api/v1/api-tokens", { body, params: { header: { "idempotency-key": key } } }));
}

export function revokeToken({ id, version }: ApiToken) {
  const params = { path: { token: id }, header: { "if-match": ifMatch(version) } };
  return call(api.DELETE("/api/v1/api-tokens/{token}", { params }));
}

export function useSessions(user: string | undefined) {
  return usePages(["sessions", { user }], (cursor) =>
    call(api.GET("/api/v1/sessions", { params: { query: { cursor, user, limit: 100 } } })),
  );
}

export function endSession(session: string) {
  return call(api.DELETE("/api/v1/sessions/{session}", { params: { path: { session } } }));
}

export function useKeys() {
  return usePages(["keys"], (cursor) => call(api.GET("/api/v1/keys", { params: { query: { cursor, limit: 100 } } })));
}

export function rotateKeys(key: string) {
  return call(api.POST("/api/v1/keys/rotate", { params: { header: { "idempotency-key": key } } }));
}

export function distrustKey(kid: string, key: string) {
  return call(
    api.POST("/api/v1/keys/{kid}/distrust", { params: { path: { kid }, header: { "idempotency-key": key } } }),
  );
}

export function useSinks() {
  return usePages(["sinks"], (cursor) => call(api.GET("/api/v1/sinks", { params: { query: { cursor, limit: 100 } } })));
}

export function createSink(body: Schemas["SinkCreate"], key: string) {
  return call(api.POST("/api/v1/sinks", { body, params: { header: { "idempotency-key": key } } }));
}

export function removeSink(id: string) {
  return call(api.DELETE("/api/v1/sinks/{sink}", { params: { path: { sink: id } } }));
}

export const healthQuery = { queryKey: ["health"], queryFn: () => call(api.GET("/healthz/ready")) };
