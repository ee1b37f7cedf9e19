import { IconFilePlus, IconGitPullRequest } from "@tabler/icons-react";
import { useMay } from "~/api/session";
import { EmptyState } from "~/components/empty-state";
import { ButtonLink, PageLink } from "~/components/links";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { Status } from "~/components/status";
import { Time } from "~/components/time";
import { Subject } from "~/pages/policy/names";
import { type PlanLine, shortHash, usePlans } from "./queries";
import { summaryText } from "./summary";

const COLUMNS: Column<PlanLine>[] = [
  { label: "Plan", cell: ({ hash }) => <PageLink to={`/plans/${hash}`}>{shortHash(hash)}</PageLink> },
  { label: "State", cell: (line) => <PlanState {...line} /> },
  { label: "Does", cell: ({ summary }) => summaryText(summary) },
  {
    label: "Made by",
    cell: ({ created_by }) => (created_by.startsWith("usr_") ? <Subject kind="user" id={created_by} /> : created_by),
    wide: true,
  },
  { label: "Made", cell: ({ created_at }) => <Time at={created_at} />, wide: true },
  { label: "Ends", cell: ({ expires_at }) => <Time at={expires_at} />, wide: true },
];

function PlanState({ applied_revision, applicable }: PlanLine) {
  if (applied_revision != null) return <Status kind="good" label={`applied as revision ${applied_revision}`} />;
  if (!applicable) return <Status kind="bad" label="has faults" />;
  return <Status kind="waiting" label="waits for approval" />;
}

export default function PlansPage() {
  const may = useMay();
  const plans = usePlans();
  const make = may("plans:read") && (
    <ButtonLink to="/plans/new" leftSection={<IconFilePlus size={16} />}>
      New plan
    </ButtonLink>
  );
  return (
    <Page
      title="Plans"
      subtitle="What a policy document would change, for whom, before anything changes."
      actions={make}
    >
      <PagedTable
        label="Plans"
        query={plans}
        columns={COLUMNS}
        keyOf={({ hash }) => hash}
        empty={
          <EmptyState icon={IconGitPullRequest} action={make} command="ostiary admin apply -f policy.yaml --dry-run">
            A plan compares a policy document with the policy of this moment: who gains, who loses, and which live
            connections would be cut. Nothing happens until somebody approves it. Plans live for a day.
          </EmptyState>
        }
      />
    </Page>
  );
}
