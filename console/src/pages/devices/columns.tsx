import { PageLink } from "~/components/links";
import type { Column } from "~/components/paged-table";
import { Status } from "~/components/status";
import { type Device, deviceName } from "./queries";

export function DeviceStatus({ device }: { device: Device }) {
  const { online, since, session, owner_kind } = device;
  if (owner_kind === "user" && !session) return <Status kind="warning" label="Signed out" since={since} />;
  return <Status kind={online ? "good" : "unknown"} label={online ? "Online" : "Offline"} since={since} />;
}

export const deviceColumns: Column<Device>[] = [
  { label: "Name", cell: (device) => <PageLink to={`/devices/${device.id}`}>{deviceName(device)}</PageLink> },
  { label: "State", cell: (device) => <DeviceStatus device={device} /> },
  { label: "System", cell: ({ facts, platform }) => facts?.distribution || platform, wide: true },
  { label: "Trusted", cell: ({ trusted }) => (trusted ? "yes" : "no") },
  { label: "Client", cell: ({ software }) => software || "–", wide: true },
];
