import { Button, Group } from "@mantine/core";
import { IconArrowsExchange, IconPlus } from "@tabler/icons-react";
import { useMay } from "~/api/session";
import { EmptyState } from "~/components/empty-state";
import { PageLink } from "~/components/links";
import { NameFilter } from "~/components/name-filter";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { useFilters } from "~/components/search";
import { Status } from "~/components/status";
import { bytesText } from "~/components/words";
import { AddRelay } from "./add-relay";
import { type Relay, useRelays } from "./queries";

export function RelayStatus({ relay }: { relay: Relay }) {
  if (!relay.enrolled) return <Status kind="waiting" label="Waits for its enrolment" since={relay.created_at} />;
  return relay.online ? (
    <Status kind="good" label="Connected" since={relay.since} />
  ) : (
    <Status kind="bad" label="Not connected" since={relay.since} />
  );
}

const columns: Column<Relay>[] = [
  { label: "Name", cell: ({ id, name }) => <PageLink to={`/relays/${id}`}>{name}</PageLink> },
  { label: "Address", cell: ({ fqdn, port }) => <span className="isolated">{`${fqdn}:${port}`}</span> },
  { label: "State", cell: (relay) => <RelayStatus relay={relay} /> },
  { label: "Connectors", cell: ({ attachments = 0 }) => attachments, wide: true },
  { label: "Tunnels", cell: ({ pairs = 0 }) => pairs, wide: true },
  { label: "Carried", cell: ({ bytes_copied = 0 }) => bytesText(bytes_copied), wide: true },
];

export default function RelaysPage() {
  const may = useMay();
  const [filters, setFilters] = useFilters();
  const add = may("relays:write") && (
    <Button leftSection={<IconPlus size={16} />} onClick={() => setFilters({ add: "new" })}>
      Add a relay
    </Button>
  );
  return (
    <Page title="Relays" subtitle="Where clients and connectors meet. A relay sees opaque bytes." actions={add}>
      <Group>
        <NameFilter />
      </Group>
      <PagedTable
        label="Relays"
        query={useRelays(filters.name)}
        columns={columns}
        keyOf={({ id }) => id}
        empty={
          <EmptyState
            icon={IconArrowsExchange}
            action={add}
            command="ostiary admin relay create relay-1 --fqdn relay.example.com --port 8444"
          >
            Connectors and clients only dial out; they meet at a relay with a public name. Add one to begin.
          </EmptyState>
        }
      />
      <AddRelay opened={filters.add !== undefined && may("relays:write")} onClose={() => setFilters({ add: null })} />
    </Page>
  );
}
