import { Button, Title } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconKey, IconTrash } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { queryClient } from "~/api/queries";
import { useMay } from "~/api/session";
import { ConfirmDanger } from "~/components/confirm-danger";
import { CopyId } from "~/components/copy";
import { EmptyState } from "~/components/empty-state";
import { told } from "~/components/notify";
import { Facts, Page } from "~/components/page";
import { Rows } from "~/components/paged-table";
import { ProblemAlert } from "~/components/problem-alert";
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
  const navigate = useNavigate();
  const [removing, dialog] = useDisclosure();
  const [renewing, renewal] = useDisclosure();
  const { data: relay, error, refetch } = useQuery({ ...relayQuery(id), refetchInterval: 10_000 });
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!relay) return <PagePending />;
  const gone = async () => {
    await navigate({ to: "/relays" } as never);
    told(`${relay.name} is removed.`);
    queryClient.removeQueries({ queryKey: relayQuery(id).queryKey });
    await queryClient.invalidateQueries({ queryKey: ["relays"] });
  };
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
            <Button variant="default" leftSection={<IconTrash size={16} />} onClick={dialog.open}>
              Remove
            </Button>
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
      <ConfirmDanger
        opened={removing}
        onClose={dialog.close}
        title={`Remove ${relay.name}?`}
        verb="Remove relay"
        blast={() => blastOfRelay(relay)}
        act={() => removeRelay(relay)}
        done={gone}
      />
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
