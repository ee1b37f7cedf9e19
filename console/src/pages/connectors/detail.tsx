import { Button, Code, Stack, Text, Title } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconKey, IconListDetails } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useMay } from "~/api/session";
import { CommandBlock, CopyId } from "~/components/copy";
import { EmptyState } from "~/components/empty-state";
import { PageLink } from "~/components/links";
import { Facts, Page } from "~/components/page";
import { Rows } from "~/components/paged-table";
import { ProblemAlert } from "~/components/problem-alert";
import { Removal } from "~/components/removal";
import { Status } from "~/components/status";
import { Time } from "~/components/time";
import { bytesText, counted } from "~/components/words";
import { connectionColumns, Named } from "~/pages/activity/columns";
import { DeployConnector } from "~/pages/networks/deploy-connector";
import { PagePending } from "~/shell/fallbacks";
import { bytesByPath } from "./bytes";
import { ConnectorStatus, clockText } from "./columns";
import { blastOfConnector, type Connector, connectorQuery, removeConnector, servedQuery } from "./queries";
import { TestDestination } from "./test-destination";

export default function ConnectorPage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const may = useMay();
  const [renewing, renewal] = useDisclosure();
  const { data: connector, error, refetch } = useQuery({ ...connectorQuery(id), refetchInterval: 10_000 });
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!connector) return <PagePending />;
  return (
    <Page
      title={connector.name}
      subtitle={<CopyId id={connector.id} />}
      actions={
        may("networks:write") && (
          <>
            <Button variant="default" leftSection={<IconKey size={16} />} onClick={renewal.open}>
              {connector.enrolled ? "Enrol anew" : "Deploy"}
            </Button>
            <Removal
              name={connector.name}
              noun="connector"
              queryKey={connectorQuery(id).queryKey}
              blast={() => blastOfConnector(connector)}
              act={() => removeConnector(connector)}
            />
          </>
        )
      }
    >
      <Links connector={connector} />
      {may("connections:read") && <Served connector={connector.id} />}
      {may("networks:write") && connector.online && <TestDestination connector={connector.id} />}
      <section aria-label="The same on its host">
        <Text size="sm" mb="xs">
          On its host this resolves, checks and connects exactly as a user's connection would:
        </Text>
        <CommandBlock command="ostiary-connector test wiki.corp.internal:443" />
      </section>
      <DeployConnector
        opened={renewing}
        onClose={renewal.close}
        network={{ id: connector.network, name: "its network" }}
        connector={connector}
      />
    </Page>
  );
}

function Links({ connector }: { connector: Connector }) {
  const { relays = [], clock_offset_ms, pin, enforced_revision, flows = 0, tunnels = 0 } = connector;
  const off = Math.abs(clock_offset_ms ?? 0) > 30_000;
  return (
    <Facts
      facts={[
        ["Network", <Named key="network" id={connector.network} />],
        ["Controller", <ConnectorStatus key="controller" connector={connector} />],
        [
          "Relays",
          relays.length > 0 ? (
            <Stack key="relays" gap={2} align="flex-start">
              {relays.map((relay) => (
                <Named key={relay} id={relay} />
              ))}
            </Stack>
          ) : (
            <Status key="relays" kind={connector.online ? "warning" : "unknown"} label="Attached to none" />
          ),
        ],
        [
          "Clock",
          off ? (
            <Status key="clock" kind="bad" label={`${clockText(clock_offset_ms)}: tokens look wrong to it`} />
          ) : (
            clockText(clock_offset_ms)
          ),
        ],
        ["Host", connector.hostname || "not known"],
        ["Version", connector.software || "not known"],
        ["Carries now", `${counted(flows, "connection", "connections")} in ${counted(tunnels, "tunnel", "tunnels")}`],
        [
          "Enforces revision",
          enforced_revision ? (
            <PageLink key="revision" to="/enforcement">
              {`#${enforced_revision}`}
            </PageLink>
          ) : (
            "not known"
          ),
        ],
        ["Certificate pin", pin ? <CopyId key="pin" id={pin} /> : "none before it enrols"],
        ["Made", <Time key="made" at={connector.created_at} both />],
      ]}
    />
  );
}

function Served({ connector }: { connector: string }) {
  const { data, error } = useQuery(servedQuery(connector));
  if (error) return <ProblemAlert error={error} />;
  if (!data) return <PagePending />;
  const paths = bytesByPath(data.items);
  return (
    <section aria-label="What it served">
      <Title order={2} size="h4" mb="xs">
        What it served
      </Title>
      {data.items.length === 0 ? (
        <EmptyState icon={IconListDetails} command="ostiary admin connection list --served">
          Nobody has connected through it yet.
        </EmptyState>
      ) : (
        <Stack>
          <Facts
            facts={paths.map(({ path, up, down, count }) => [
              `By ${path}`,
              `${bytesText(up)} up, ${bytesText(down)} down in ${counted(count, "connection", "connections", data.next_cursor)}`,
            ])}
          />
          <Rows
            label="Latest connections"
            items={data.items.slice(0, 20)}
            columns={connectionColumns}
            keyOf={({ id }) => String(id)}
          />
          <Text size="sm">
            <PageLink to="/connections" search={{ connector }}>
              All of them
            </PageLink>{" "}
            · <Code>connector={connector}</Code>
          </Text>
        </Stack>
      )}
    </section>
  );
}
