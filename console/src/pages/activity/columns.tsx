import { Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMay } from "~/api/session";
import { PageLink } from "~/components/links";
import type { Column } from "~/components/paged-table";
import { Status } from "~/components/status";
import { Time } from "~/components/time";
import { bytesText } from "~/components/words";
import { namesQuery } from "./names";
import type { Connection } from "./queries";

const GOOD = new Set(["normal", "cancelled"]);

/** "no_grant" as "no grant"; the code itself stays what the filter takes. */
export function reasonText(code: string): string {
  return code.replaceAll("_", " ");
}

/** How a connection ended, or that it is open. */
export function Outcome({ connection }: { connection: Pick<Connection, "open" | "outcome" | "differs"> }) {
  const { open, outcome, differs } = connection;
  if (differs.length > 0) return <Status kind="bad" label={`Sides differ: ${differs.join(", ")}`} />;
  if (open) return <Status kind="waiting" label="Open" />;
  if (!outcome || outcome === "end_unknown") return <Status kind="unknown" label="End unknown" />;
  return (
    <Status kind={GOOD.has(outcome) ? "good" : "bad"} label={outcome === "normal" ? "Served" : reasonText(outcome)} />
  );
}

/** A thing by its name where that is known, and always with a link. */
export function Named({ id }: { id: string | null }) {
  const may = useMay();
  const { data: names } = useQuery(namesQuery(may));
  if (!id) return <>–</>;
  const to = pathOf(id);
  const name = names?.get(id) ?? (/^[a-z]{3}_.{16}/.test(id) ? `${id.slice(0, 10)}…` : id);
  return to ? <PageLink to={to}>{name}</PageLink> : <span className="isolated">{name}</span>;
}

const PATHS: Record<string, string> = {
  usr: "/users",
  svc: "/service-accounts",
  dev: "/devices",
  res: "/resources",
  net: "/networks",
  con: "/connectors",
  rel: "/relays",
  grp: "/groups",
  pol: "/policies",
};

/** Where a thing's page is; null for what has none. */
export function pathOf(id: string): string | null {
  const path = PATHS[id.split("_")[0] ?? ""];
  return path ? `${path}/${id}` : null;
}

export function targetText({ host, port, transport }: Pick<Connection, "host" | "port" | "transport">): string {
  const address = host.includes(":") ? `[${host}]` : host;
  return port === null ? `${address} (${transport})` : `${address}:${port}/${transport}`;
}

export const connectionColumns: Column<Connection>[] = [
  {
    label: "Started",
    cell: ({ flow, started_at }) => (
      <PageLink to={`/connections/${encodeURIComponent(flow)}`}>
        <Time at={started_at} />
      </PageLink>
    ),
  },
  { label: "Who", cell: ({ user }) => <Named id={user} /> },
  {
    label: "Where to",
    cell: (connection) => (
      <Text inherit component="span" className="isolated">
        {targetText(connection)}
      </Text>
    ),
  },
  { label: "Outcome", cell: (connection) => <Outcome connection={connection} /> },
  { label: "Resource", cell: ({ resource }) => <Named id={resource} />, wide: true },
  {
    label: "Path",
    cell: ({ path, connector }) =>
      path ? (
        <>
          {path} by <Named id={connector} />
        </>
      ) : (
        "–"
      ),
    wide: true,
  },
  {
    label: "Up / down",
    cell: ({ bytes_up, bytes_down }) => `${bytesText(bytes_up)} / ${bytesText(bytes_down)}`,
    wide: true,
  },
];
