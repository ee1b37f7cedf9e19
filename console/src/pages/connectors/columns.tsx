import { PageLink } from "~/components/links";
import type { Column } from "~/components/paged-table";
import { Status } from "~/components/status";
import type { Connector } from "./queries";

/** Whether a connector stands, in words and since when. */
export function ConnectorStatus({ connector }: { connector: Connector }) {
  const { enrolled, online, since, relays = [], created_at } = connector;
  if (!enrolled) return <Status kind="waiting" label="Waits for its enrolment" since={created_at} />;
  if (!online) return <Status kind="bad" label="Offline" since={since} />;
  if (relays.length === 0) return <Status kind="warning" label="Online, at no relay" since={since} />;
  return <Status kind="good" label="Online" since={since} />;
}

/** "+41 s", "in step": how far its clock is from the controller's. */
export function clockText(offset_ms: number | null | undefined): string {
  if (offset_ms === null || offset_ms === undefined) return "not known";
  if (Math.abs(offset_ms) < 1000) return `in step (${offset_ms} ms)`;
  const seconds = Math.round(Math.abs(offset_ms) / 1000);
  return `${seconds} s ${offset_ms > 0 ? "ahead" : "behind"}`;
}

export const connectorColumns: Column<Connector>[] = [
  { label: "Name", cell: ({ id, name }) => <PageLink to={`/connectors/${id}`}>{name}</PageLink> },
  { label: "State", cell: (connector) => <ConnectorStatus connector={connector} /> },
  { label: "Relays", cell: ({ relays = [] }) => relays.length, wide: true },
  { label: "Connections", cell: ({ flows = 0 }) => flows, wide: true },
  { label: "Clock", cell: ({ clock_offset_ms }) => clockText(clock_offset_ms), wide: true },
  { label: "Version", cell: ({ software }) => software || "–", wide: true },
];
