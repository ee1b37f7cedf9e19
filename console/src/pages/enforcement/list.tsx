import { Alert, Button, Group, NumberInput, Text } from "@mantine/core";
import { IconChecklist } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { EmptyState } from "~/components/empty-state";
import { PageLink } from "~/components/links";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { Status } from "~/components/status";
import { Time } from "~/components/time";
import { counted } from "~/components/words";
import { Agent } from "./agent";
import { type AgentEnforcement, useEnforcement, useStanding } from "./queries";

const COLUMNS: Column<AgentEnforcement>[] = [
  { label: "Agent", cell: ({ agent, kind }) => <Agent id={agent} kind={kind} /> },
  {
    label: "Heard",
    cell: ({ online }) => <Status kind={online ? "good" : "unknown"} label={online ? "online" : "offline"} />,
    wide: true,
  },
  {
    label: "Enforces",
    cell: ({ enforced_revision, enforced_at }) =>
      enforced_revision === 0 ? (
        "nothing yet"
      ) : (
        <>
          <PageLink to={`/enforcement/${enforced_revision}`}>revision {enforced_revision}</PageLink>
          {enforced_at && (
            <>
              {" since "}
              <Time at={enforced_at} />
            </>
          )}
        </>
      ),
  },
  {
    label: "State",
    cell: ({ current, enforced_revision, pending_revision }) =>
      current && enforced_revision === 0 ? (
        <Status kind="unknown" label="nothing concerns it yet" />
      ) : current ? (
        <Status kind="good" label="everything that concerns it" />
      ) : (
        <Status kind="warning" label={pending_revision ? `lacks ${pending_revision} and later` : "behind"} />
      ),
  },
  {
    label: "Outstanding",
    cell: ({ pending_revision }) =>
      pending_revision ? (
        <PageLink to={`/enforcement/${pending_revision}`} search={{ outstanding: "1" }}>
          Until when at most
        </PageLink>
      ) : (
        "–"
      ),
    wide: true,
  },
];

export default function EnforcementPage() {
  const agents = useEnforcement();
  return (
    <Page title="Enforcement" subtitle="Which agent enforces which revision of the policy, and since when.">
      <Standing />
      <PagedTable
        label="Agents"
        query={agents}
        columns={COLUMNS}
        keyOf={({ agent }) => agent}
        empty={
          <EmptyState icon={IconChecklist} command="ostiary admin connector create office-1 --network office">
            No agent holds the policy yet: deploy a connector, and sign in on a device.
          </EmptyState>
        }
      />
    </Page>
  );
}

function Standing() {
  const navigate = useNavigate();
  const { data } = useStanding();
  const [wanted, setWanted] = useState<string | number>("");
  if (!data) return null;
  const { revision, behind } = data;
  return (
    <>
      <Alert
        color={behind === 0 ? "gate" : "orange"}
        variant="light"
        title={behind === 0 ? "In force everywhere" : `${counted(behind, "agent is", "agents are")} behind`}
      >
        <Text size="sm">
          The policy is at{" "}
          <PageLink c="inherit" underline="always" to={`/enforcement/${revision}`}>
            revision {revision}
          </PageLink>
          .{" "}
          {behind > 0 &&
            "Whoever is not heard ends what it holds when its lease ends; the page of a revision says when at the latest."}
        </Text>
      </Alert>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (wanted) navigate({ to: `/enforcement/${wanted}` } as never);
        }}
      >
        <Group align="flex-end">
          <NumberInput
            label="A revision"
            description="The position of an event in the audit trail."
            min={1}
            max={revision}
            hideControls
            value={wanted}
            onChange={setWanted}
          />
          <Button type="submit" variant="default" disabled={wanted === ""}>
            Who enforces it
          </Button>
        </Group>
      </form>
    </>
  );
}
