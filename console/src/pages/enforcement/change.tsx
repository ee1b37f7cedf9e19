import { Alert, List, Paper, SimpleGrid, Switch, Text } from "@mantine/core";
import { IconChecklist } from "@tabler/icons-react";
import { useParams } from "@tanstack/react-router";
import type { Schemas } from "~/api/client";
import { EmptyState } from "~/components/empty-state";
import { Facts, Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { ProblemAlert } from "~/components/problem-alert";
import { useFilters } from "~/components/search";
import { Status } from "~/components/status";
import { Time } from "~/components/time";
import { counted } from "~/components/words";
import { EventLink } from "~/pages/policy/events";
import { NamedLink } from "~/pages/policy/names";
import { PagePending } from "~/shell/fallbacks";
import { Agent } from "./agent";
import { type ChangeAgent, useChange, useChangeAgents } from "./queries";

const STATES = {
  enforced: { kind: "good", label: "enforces it" },
  lapsed: { kind: "good", label: "lease ended by itself" },
  never_connected: { kind: "unknown", label: "never connected" },
  outstanding: { kind: "warning", label: "outstanding" },
} as const;

const COLUMNS: Column<ChangeAgent>[] = [
  { label: "Agent", cell: ({ agent, kind }) => <Agent id={agent} kind={kind} /> },
  { label: "State", cell: ({ state, since }) => <Status {...STATES[state]} since={since} /> },
  {
    label: "Heard",
    cell: ({ online, heard_at }) => (
      <Status kind={online ? "good" : "unknown"} label={online ? "online" : "unheard"} since={heard_at} />
    ),
  },
  {
    label: "Its lease ends",
    cell: ({ state, lease_ends_at }) => (state === "outstanding" ? <Time at={lease_ends_at} /> : "–"),
  },
  { label: "Acknowledged", cell: ({ acknowledged_revision }) => acknowledged_revision ?? "–", wide: true },
];

export default function ChangePage() {
  const { revision: text = "" } = useParams({ strict: false }) as { revision?: string };
  const revision = Number(text);
  const [filters, setFilters] = useFilters();
  const outstanding = filters.outstanding !== undefined;
  const { data: change, error, refetch } = useChange(revision);
  const agents = useChangeAgents(revision, outstanding);
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!change) return <PagePending />;
  return (
    <Page title={`Revision ${change.revision}`} subtitle={change.event}>
      <Alert
        color={change.enforced_at ? "gate" : "orange"}
        variant="light"
        title={change.enforced_at ? "In force everywhere" : "Not in force everywhere yet"}
      >
        <Text size="sm">
          {change.enforced_at ? (
            <>
              Since <Time at={change.enforced_at} both />.
            </>
          ) : (
            "Whoever is outstanding may still act by the policy before it, until its lease ends at the latest."
          )}
        </Text>
      </Alert>
      <Facts
        facts={[
          ["Made", <Time key="made" at={change.made_at} both />],
          ["By", change.actor.startsWith("usr_") ? <NamedLink key="by" kind="user" id={change.actor} /> : change.actor],
          ["Event", <EventLink key="event" position={change.revision} />],
        ]}
      />
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        <Summary title="Connectors" summary={change.connectors} />
        <Summary title="Clients" summary={change.clients} />
      </SimpleGrid>
      <Ended agents={change.ended} />
      <Switch
        label="Only those who are outstanding"
        checked={outstanding}
        onChange={(event) => setFilters({ outstanding: event.currentTarget.checked ? "1" : null })}
      />
      <PagedTable
        label="Agents that it concerns"
        query={agents}
        columns={COLUMNS}
        keyOf={({ agent }) => agent}
        empty={
          <EmptyState icon={IconChecklist}>
            {outstanding ? "Nobody is outstanding." : "This change concerns no agent."}
          </EmptyState>
        }
      />
    </Page>
  );
}

function Summary({ title, summary }: { title: string; summary: Schemas["EnforcementSummary"] }) {
  const { agents, outstanding, complete_at } = summary;
  return (
    <Paper withBorder p="md" radius="md">
      <Text fw={600}>{title}</Text>
      <Text size="sm">It concerns {agents.toLocaleString("en")}.</Text>
      {outstanding === 0 ? (
        <Status kind="good" label="true at all of them" since={complete_at} />
      ) : (
        <Status kind="warning" label={`${counted(outstanding, "is", "are")} outstanding`} />
      )}
    </Paper>
  );
}

function Ended({ agents }: { agents: string[] }) {
  if (agents.length === 0) return null;
  return (
    <Alert color="gate" variant="light" title="Lost their standing, by this change or since">
      <List size="sm">
        {agents.map((id) => (
          <List.Item key={id}>{id}</List.Item>
        ))}
      </List>
    </Alert>
  );
}
