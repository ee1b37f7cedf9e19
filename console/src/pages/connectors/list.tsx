import { Group, Select } from "@mantine/core";
import { IconPlugConnected } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { EmptyState } from "~/components/empty-state";
import { ButtonLink, PageLink } from "~/components/links";
import { NameFilter } from "~/components/name-filter";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { useFilters } from "~/components/search";
import { networksQuery } from "~/pages/resources/queries";
import { connectorColumns } from "./columns";
import { type Connector, useConnectors } from "./queries";

export default function ConnectorsPage() {
  const [filters, setFilters] = useFilters();
  const { data: networks = [] } = useQuery(networksQuery);
  const online = filters.online === undefined ? undefined : filters.online === "true";
  const connectors = useConnectors({ network: filters.network, name: filters.name, online });
  const nameOf = new Map(networks.map(({ id, name }) => [id, name]));
  const network: Column<Connector> = {
    label: "Network",
    cell: ({ network }) => <PageLink to={`/networks/${network}`}>{nameOf.get(network) ?? network}</PageLink>,
  };
  const [name, ...rest] = connectorColumns;
  const deploy = networks[0] && (
    <ButtonLink to={`/networks/${filters.network ?? networks[0].id}`} search={{ deploy: "new" }}>
      Deploy a connector
    </ButtonLink>
  );
  return (
    <Page title="Connectors" subtitle="What lets people into private networks, and nobody else." actions={deploy}>
      <Group>
        <Select
          label="Network"
          placeholder="All networks"
          clearable
          searchable
          data={networks.map(({ id, name }) => ({ value: id, label: name }))}
          value={filters.network ?? null}
          onChange={(network) => setFilters({ network })}
        />
        <Select
          label="State"
          placeholder="All states"
          clearable
          data={[
            { value: "true", label: "Online" },
            { value: "false", label: "Offline" },
          ]}
          value={filters.online ?? null}
          onChange={(online) => setFilters({ online })}
        />
        <NameFilter />
      </Group>
      <PagedTable
        label="Connectors"
        query={connectors}
        columns={name ? [name, network, ...rest] : rest}
        keyOf={({ id }) => id}
        empty={
          <EmptyState
            icon={IconPlugConnected}
            action={deploy || <ButtonLink to="/networks">Make a network first</ButtonLink>}
            command="ostiary admin connector create office-1 --network office"
          >
            No connector is like this. A connector stands in a private network and dials out only.
          </EmptyState>
        }
      />
    </Page>
  );
}
