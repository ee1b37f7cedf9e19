import { Button, Group, Select, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconDatabase, IconPlus } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useMay } from "~/api/session";
import { EmptyState } from "~/components/empty-state";
import { PageLink } from "~/components/links";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { useFilters } from "~/components/search";
import { portsText } from "~/components/words";
import { CreateDrawer } from "./create-drawer";
import { networksQuery, type Resource, useResources } from "./queries";

export default function ResourcesPage() {
  const may = useMay();
  const [filters, setFilters] = useFilters();
  const [creating, drawer] = useDisclosure(filters.create !== undefined);
  const resources = useResources(filters.network, filters.name);
  const { data: networks = [] } = useQuery(networksQuery);
  const nameOf = new Map(networks.map(({ id, name }) => [id, name]));
  const columns: Column<Resource>[] = [
    { label: "Name", cell: ({ id, name }) => <PageLink to={`/resources/${id}`}>{name}</PageLink> },
    { label: "Address", cell: ({ address }) => <span className="isolated">{address}</span> },
    { label: "Ports", cell: ({ ports }) => portsText(ports), wide: true },
    {
      label: "Network",
      cell: ({ network }) => <PageLink to={`/networks/${network}`}>{nameOf.get(network) ?? network}</PageLink>,
    },
  ];
  const create = may("resources:write") && (
    <Button leftSection={<IconPlus size={16} />} onClick={drawer.open}>
      New resource
    </Button>
  );
  return (
    <Page title="Resources" subtitle="What can be granted: names, wildcards, addresses and networks." actions={create}>
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
        <TextInput
          label="Name"
          description=""
          placeholder="The whole name"
          defaultValue={filters.name}
          onBlur={(event) => setFilters({ name: event.currentTarget.value })}
          onKeyDown={(event) => event.key === "Enter" && setFilters({ name: event.currentTarget.value })}
        />
      </Group>
      <PagedTable
        label="Resources"
        query={resources}
        columns={columns}
        keyOf={({ id }) => id}
        empty={
          <EmptyState
            icon={IconDatabase}
            action={create}
            command="ostiary admin resource create wiki --network office --address wiki.corp.internal --tcp 443"
          >
            A resource is a name or an address in a remote network; nobody reaches it until a grant says so.
          </EmptyState>
        }
      />
      <CreateDrawer opened={creating} onClose={drawer.close} network={filters.network} />
    </Page>
  );
}
