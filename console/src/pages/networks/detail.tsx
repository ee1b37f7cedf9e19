import { Button, Tabs, Text } from "@mantine/core";
import { IconDatabase, IconEdit, IconPlugConnected, IconRocket } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useMay } from "~/api/session";
import { CopyId } from "~/components/copy";
import { EmptyState } from "~/components/empty-state";
import { ButtonLink, PageLink } from "~/components/links";
import { useSnapshot } from "~/components/overtaken";
import { Facts, Page } from "~/components/page";
import { PagedTable } from "~/components/paged-table";
import { ProblemAlert } from "~/components/problem-alert";
import { Removal } from "~/components/removal";
import { useFilters } from "~/components/search";
import { Time } from "~/components/time";
import { portsText, shellWord } from "~/components/words";
import { connectorColumns } from "~/pages/connectors/columns";
import { useConnectors } from "~/pages/connectors/queries";
import { useResources } from "~/pages/resources/queries";
import { PagePending } from "~/shell/fallbacks";
import { DeployConnector } from "./deploy-connector";
import { NetworkDrawer } from "./form";
import { blastOfNetwork, networkQuery, removeNetwork } from "./queries";

export default function NetworkPage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const may = useMay();
  const [filters, setFilters] = useFilters();
  const { data: network, error, refetch } = useQuery(networkQuery(id));
  const edit = useSnapshot(network);
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!network) return <PagePending />;
  const deploy = may("networks:write") && (
    <Button leftSection={<IconRocket size={16} />} onClick={() => setFilters({ deploy: "new" })}>
      Deploy a connector
    </Button>
  );
  return (
    <Page
      title={network.name}
      subtitle={<CopyId id={network.id} />}
      actions={
        may("networks:write") && (
          <>
            {deploy}
            <Button variant="default" leftSection={<IconEdit size={16} />} onClick={edit.open}>
              Edit
            </Button>
            <Removal
              name={network.name}
              noun="network"
              queryKey={networkQuery(id).queryKey}
              blast={() => blastOfNetwork(network)}
              act={() => removeNetwork(network)}
            />
          </>
        )
      }
    >
      <Facts
        facts={[
          ["Made", <Time key="made" at={network.created_at} both />],
          [
            "Also allowed to dial",
            network.egress_allow.length > 0 ? network.egress_allow.join(", ") : "nothing besides ordinary addresses",
          ],
        ]}
      />
      <Tabs
        value={filters.tab === "resources" ? "resources" : "connectors"}
        onChange={(tab) => setFilters({ tab: tab === "connectors" ? null : tab })}
        keepMounted={false}
      >
        <Tabs.List>
          <Tabs.Tab value="connectors" leftSection={<IconPlugConnected size={16} />}>
            Connectors
          </Tabs.Tab>
          <Tabs.Tab value="resources" leftSection={<IconDatabase size={16} />}>
            Resources
          </Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="connectors" pt="md">
          <Connectors network={network.id} name={network.name} deploy={deploy} />
        </Tabs.Panel>
        <Tabs.Panel value="resources" pt="md">
          <Resources network={network.id} name={network.name} />
        </Tabs.Panel>
      </Tabs>
      <DeployConnector
        opened={filters.deploy !== undefined && may("networks:write")}
        onClose={() => setFilters({ deploy: null })}
        network={network}
      />
      <NetworkDrawer opened={edit.opened} onClose={edit.close} network={edit.edited ?? network} note={edit.overtaken} />
    </Page>
  );
}

function Connectors({ network, name, deploy }: { network: string; name: string; deploy: React.ReactNode }) {
  return (
    <PagedTable
      label="Connectors"
      query={useConnectors({ network })}
      columns={connectorColumns}
      keyOf={({ id }) => id}
      empty={
        <EmptyState
          icon={IconPlugConnected}
          action={deploy}
          command={`ostiary admin connector create ${shellWord(`${name}-1`)} --network ${shellWord(name)}`}
        >
          A connector is a process in the private network that dials out and lets in exactly what the policy allows. Two
          of them survive the loss of a host.
        </EmptyState>
      }
    />
  );
}

function Resources({ network, name }: { network: string; name: string }) {
  const may = useMay();
  return (
    <PagedTable
      label="Resources"
      query={useResources(network, undefined)}
      columns={[
        { label: "Name", cell: (item) => <PageLink to={`/resources/${item.id}`}>{item.name}</PageLink> },
        { label: "Address", cell: ({ address }) => <Text inherit>{address}</Text> },
        { label: "Ports", cell: ({ ports }) => portsText(ports), wide: true },
      ]}
      keyOf={({ id }) => id}
      empty={
        <EmptyState
          icon={IconDatabase}
          action={
            may("resources:write") && (
              <ButtonLink to="/resources" search={{ network, create: "" }}>
                New resource
              </ButtonLink>
            )
          }
          command={`ostiary admin resource create wiki --network ${shellWord(name)} --address wiki.corp.internal --tcp 443`}
        >
          A resource is a name or an address in this network that can be granted to people.
        </EmptyState>
      }
    />
  );
}
