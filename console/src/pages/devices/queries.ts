import { api, call, ifMatch, type Schemas } from "~/api/client";
import { usePages } from "~/api/pages";
import type { Found } from "~/area";
import type { Blast } from "~/components/confirm-danger";
import { counted } from "~/components/words";

export type Device = Schemas["Device"];

export function deviceName({ name, id }: Pick<Device, "id" | "name">): string {
  return name || id;
}

export function useDevices(filters: { owner?: string; online?: boolean }) {
  return usePages(["devices", filters], (cursor) =>
    call(api.GET("/api/v1/devices", { params: { query: { cursor, ...filters, limit: 100 } } })),
  );
}

export const devicesQuery = (owner: string) => ({
  queryKey: ["devices", { owner, limit: 200 }],
  queryFn: () => call(api.GET("/api/v1/devices", { params: { query: { owner, limit: 200 } } })),
});

export const deviceQuery = (id: string) => ({
  queryKey: ["devices", id],
  queryFn: () => call(api.GET("/api/v1/devices/{device}", { params: { path: { device: id } } })),
});

function versioned({ id, version }: Pick<Device, "id" | "version">) {
  return { params: { path: { device: id }, header: { "if-match": ifMatch(version) } } };
}

export function setTrust(device: Pick<Device, "id" | "version">, trusted: boolean) {
  const at = "/api/v1/devices/{device}/trust";
  return call(trusted ? api.PUT(at, versioned(device)) : api.DELETE(at, versioned(device)));
}

export function revokeDevice(device: Pick<Device, "id" | "version">) {
  return call(api.DELETE("/api/v1/devices/{device}", versioned(device)));
}

export function signDeviceOut(id: string) {
  return call(api.DELETE("/api/v1/devices/{device}/session", { params: { path: { device: id } } }));
}

/** Connections that a device has open this moment. */
export async function blastOfDevice(id: string, lines: string[], undo: string | null): Promise<Blast> {
  const query = { device: id, open: true, reporter: "client", limit: 200 };
  const open = await call(api.GET("/api/v1/connections", { params: { query } }));
  const cut = `${counted(open.items.length, "open connection", "open connections", open.next_cursor)} of it`;
  return { lines: [`${cut} will be cut at once.`, ...lines], undo };
}

export async function findDevices(typed: string): Promise<Found[]> {
  if (!typed.startsWith("dev_")) return [];
  const device = await deviceQuery(typed).queryFn();
  return [{ label: deviceName(device), description: "Device", to: `/devices/${device.id}` }];
}
