import { api, call, type Schemas } from "~/api/client";
import { usePages } from "~/api/pages";

export type MyResource = Schemas["MyResource"];
export type MyDenial = Schemas["MyDenial"];
export type Passkey = Schemas["Passkey"];

export function useMyResources() {
  return usePages(["access", "mine", "resources"], (cursor) =>
    call(api.GET("/api/v1/me/resources", { params: { query: { cursor, limit: 100 } } })),
  );
}

export function useMyDevices() {
  return usePages(["devices", "mine"], (cursor) =>
    call(api.GET("/api/v1/me/devices", { params: { query: { cursor, limit: 100 } } })),
  );
}

export function useMySessions() {
  return usePages(["sessions", "mine"], (cursor) =>
    call(api.GET("/api/v1/me/sessions", { params: { query: { cursor, limit: 100 } } })),
  );
}

export function useMyDenials() {
  return usePages(["connections", "mine", "denials"], (cursor) =>
    call(api.GET("/api/v1/me/denials", { params: { query: { cursor, limit: 100 } } })),
  );
}

export function useMyRequests(user: string) {
  return usePages(["access-requests", { user }], (cursor) =>
    call(api.GET("/api/v1/access-requests", { params: { query: { cursor, user, limit: 50 } } })),
  );
}

export function askForAccess(body: Schemas["AccessRequestCreate"], key: string) {
  return call(api.POST("/api/v1/access-requests", { body, params: { header: { "idempotency-key": key } } }));
}

export const secondFactorQuery = {
  queryKey: ["me", "second-factor"],
  queryFn: () => call(api.GET("/api/v1/me/second-factor")),
};

export const passkeysQuery = {
  queryKey: ["me", "passkeys"],
  queryFn: () => call(api.GET("/api/v1/me/passkeys")),
};

export const beginSecondFactor = () => call(api.POST("/api/v1/me/second-factor"));
export const confirmSecondFactor = (code: string) =>
  call(api.POST("/api/v1/me/second-factor/confirm", { body: { code } }));
export const newRecoveryCodes = (code: string) =>
  call(api.POST("/api/v1/me/second-factor/recovery-codes", { body: { code } }));
export const removeMyFactor = (code: string) => call(api.POST("/api/v1/me/second-factor/remove", { body: { code } }));
