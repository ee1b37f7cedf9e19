import { Button, Stack, Text, Title } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconDatabase, IconSend } from "@tabler/icons-react";
import type { Schemas } from "~/api/client";
import { useMe } from "~/api/session";
import { EmptyState } from "~/components/empty-state";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { useFilters } from "~/components/search";
import { Status, type StatusKind } from "~/components/status";
import { Time } from "~/components/time";
import { portsText } from "~/components/words";
import { AskDrawer } from "./ask";
import { type MyResource, useMyRequests, useMyResources } from "./queries";
import { bestWay, whyText } from "./ways";

const LOOK: Record<Schemas["MyWay"]["verdict"], [StatusKind, string]> = {
  permitted: ["good", "Open to you"],
  conditional: ["warning", "Open from an allowed place"],
  denied: ["bad", "Not now"],
};

const columns: Column<MyResource>[] = [
  { label: "Name", cell: ({ name }) => <span className="isolated">{name}</span> },
  { label: "Address", cell: ({ address }) => <span className="isolated">{address}</span> },
  { label: "Ports", cell: ({ ports }) => portsText(ports), wide: true },
  { label: "Now", cell: ({ devices }) => <Now devices={devices} /> },
  { label: "Why", cell: ({ grants }) => <span className="isolated">{whyText(grants)}</span>, wide: true },
  { label: "Until", cell: ({ until }) => (until ? <Time at={until} /> : "no end") },
];

function Now({ devices }: { devices: MyResource["devices"] }) {
  const way = bestWay(devices);
  if (!way) return <Status kind="unknown" label="Sign in on a device first" />;
  const [kind, label] = LOOK[way.verdict];
  return (
    <Stack gap={0}>
      <Status kind={kind} label={label} />
      {way.sentence && (
        <Text size="xs" c="dimmed">
          {way.sentence} {way.next}
        </Text>
      )}
    </Stack>
  );
}

const REQUEST_LOOK: Record<Schemas["AccessRequest"]["status"], StatusKind> = {
  open: "waiting",
  approved: "good",
  denied: "bad",
  withdrawn: "unknown",
  expired: "unknown",
};

export default function MyResourcesPage() {
  const me = useMe();
  const [filters] = useFilters();
  const [asking, drawer] = useDisclosure(filters.request !== undefined);
  const ask = (
    <Button leftSection={<IconSend size={16} />} onClick={drawer.open}>
      Request access
    </Button>
  );
  return (
    <Page title="My resources" subtitle="What grants lead you to, and from which of your devices." actions={ask}>
      <PagedTable
        label="My resources"
        query={useMyResources()}
        columns={columns}
        keyOf={({ id }) => id}
        height="45vh"
        empty={
          <EmptyState
            icon={IconDatabase}
            action={ask}
            command="ostiary request wiki.corp.internal:443 --reason 'read the runbook' --for 2h"
          >
            Nothing was granted to you yet. Ask for what you need.
          </EmptyState>
        }
      />
      <section aria-label="My requests">
        <Title order={2} size="h4" mb="xs">
          My requests
        </Title>
        <PagedTable
          label="Requests of mine"
          query={useMyRequests(me.id)}
          columns={[
            {
              label: "What",
              cell: ({ target, port }) => <span className="isolated">{port ? `${target}:${port}` : target}</span>,
            },
            {
              label: "State",
              cell: ({ status, answered_at, created_at }) => (
                <Status kind={REQUEST_LOOK[status]} label={status} since={answered_at ?? created_at} />
              ),
            },
            { label: "Answer", cell: ({ answer }) => <span className="isolated">{answer || "–"}</span> },
            { label: "Good until", cell: ({ granted_until }) => <Time at={granted_until} />, wide: true },
          ]}
          keyOf={({ id }) => id}
          height="30vh"
          empty={<Text size="sm">You have asked for nothing.</Text>}
        />
      </section>
      <AskDrawer opened={asking} onClose={drawer.close} target={filters.request} />
    </Page>
  );
}
