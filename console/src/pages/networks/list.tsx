import { Button, Group, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconNetwork, IconPlus } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useMay } from "~/api/session";
import { EmptyState } from "~/components/empty-state";
import { PageLink } from "~/components/links";
import { NameFilter } from "~/components/name-filter";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { useFilters } from "~/components/search";
import { Status } from "~/components/status";
import { Time } from "~/components/time";
import { type Connector, connectorsOfAll } from "~/pages/connectors/queries";
import { NetworkDrawer } from "./form";
import { type Network, useNetworks } from "./queries";

export default function NetworksPage() {
  const may = useMay();
  const [filters] = useFilters();
  const [creating, drawer] = useDisclosure(filters.create !== undefined);
  const networks = useNetworks(filters.name);
  const { data: connectors } = useQuery(connectorsOfAll);
  const columns: Column<Network>[] = [
    { label: "Name", cell: ({ id, name }) => <PageLink to={`/networks/${id}`}>{name}</PageLink> },
    {
      label: "Connectors",
      cell: ({ id }) => connectors && <Reachable connectors={connectors.filter(({ network }) => network === id)} />,
    },
    { label: "Made", cell: ({ created_at }) => <Time at={created_at} />, wide: true },
  ];
  const create = may("networks:write") && (
    <Button leftSection={<IconPlus size={16} />} onClick={drawer.open}>
      New network
    </Button>
  );
  return (
    <Page title="Networks" subtitle="Private networks, each with connectors that stand in it." actions={create}>
      <Group>
        <NameFilter />
      </Group>
      <PagedTable
        label="Networks"
        query={networks}
        columns={columns}
        keyOf={({ id }) => id}
        empty={
          <EmptyState icon={IconNetwork} action={create} command="ostiary admin network create office">
            A network is a place with private resources, such as an office or a cluster. Make one, then deploy a
            connector in it.
          </EmptyState>
        }
      />
      <NetworkDrawer opened={creating} onClose={drawer.close} />
    </Page>
  );
}

/** Whether anybody could get into the network this moment. */
export function Reachable({ connectors }: { connectors: Connector[] }) {
  const online = connectors.filter((connector) => connector.online);
  if (connectors.length === 0) return <Status kind="unknown" label="None yet" />;
  const since = online.map((connector) => connector.since).sort()[0] ?? connectors.map(({ since }) => since).sort()[0];
  const kind = online.length === connectors.length ? "good" : online.length > 0 ? "warning" : "bad";
  return (
    <Text component="span" inherit>
      <Status kind={kind} label={`${online.length} of ${connectors.length} online`} since={since} />
    </Text>
  );
}
