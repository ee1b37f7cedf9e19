import { Button, Title } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconKey } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useMay } from "~/api/session";
import { CopyId } from "~/components/copy";
import { EmptyState } from "~/components/empty-state";
import { Facts, Page } from "~/components/page";
import { Rows } from "~/components/paged-table";
import { ProblemAlert } from "~/components/problem-alert";
import { Removal } from "~/components/removal";
import { Time } from "~/components/time";
import { bytesText } from "~/components/words";
import { clockText, connectorColumns } from "~/pages/connectors/columns";
import { connectorsOfAll } from "~/pages/connectors/queries";
import { PagePending } from "~/shell/fallbacks";
import { AddRelay } from "./add-relay";
import { RelayStatus } from "./list";
import { blastOfRelay, relayQuery, removeRelay } from "./queries";

export default function RelayPage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const may = useMay();
  const [renewing, renewal] = useDisclosure();
  const { data: relay, error, refetch } = useQuery({ ...relayQuery(id), refetchInterval: 10_000 });
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!relay) return <PagePending />;
  return (
    <Page
      title={relay.name}
      subtitle={<CopyId id={relay.id} />}
      actions={
        may("relays:write") && (
          <>
            <Button variant="default" leftSection={<IconKey size={16} />} onClick={renewal.open}>
              New token
            </Button>
            <Removal
              name={relay.name}
              noun="relay"
              queryKey={relayQuery(id).queryKey}
              blast={() => blastOfRelay(relay)}
              act={() => removeRelay(relay)}
            />
          </>
        )
      }
    >
      <Facts
        facts={[
          ["Controller's link", <RelayStatus key="state" relay={relay} />],
          ["Address", `${relay.fqdn}:${relay.port}`],
          ["Attached connectors", relay.attachments ?? 0],
          ["Tunnels now", `${relay.pairs ?? 0}; ${relay.parked ?? 0} idle legs wait for a client`],
          ["Carried since its start", bytesText(relay.bytes_copied ?? 0)],
          ["Clock", clockText(relay.clock_offset_ms)],
          ["Version", relay.software || "not known"],
          ["Added", <Time key="made" at={relay.created_at} both />],
        ]}
      />
      {may("networks:read") && <Attached relay={relay.id} />}
      <AddRelay opened={renewing} onClose={renewal.close} relay={relay} />
    </Page>
  );
}

function Attached({ relay }: { relay: string }) {
  const { data, error } = useQuery(connectorsOfAll);
  if (error) return <ProblemAlert error={error} />;
  if (!data) return <PagePending />;
  const here = data.filter(({ relays = [] }) => relays.includes(relay));
  return (
    <section aria-label="Connectors at it">
      <Title order={2} size="h4" mb="xs">
        Connectors at it
      </Title>
      {here.length > 0 ? (
        <Rows label="Connectors at it" items={here} columns={connectorColumns} keyOf={({ id }) => id} />
      ) : (
        <EmptyState icon={IconKey} command="ostiary-connector status">
          No connector is attached to it. Each online connector attaches to all relays that it reaches.
        </EmptyState>
      )}
    </section>
  );
}
