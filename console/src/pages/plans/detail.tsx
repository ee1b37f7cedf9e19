import { Alert, Button, List, Stack, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconCheck, IconRefresh } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { api, call, idempotencyKey, type Schemas } from "~/api/client";
import { queryClient } from "~/api/queries";
import { useMay } from "~/api/session";
import { ConfirmDanger } from "~/components/confirm-danger";
import { CommandBlock, CopyId } from "~/components/copy";
import { ButtonLink, PageLink } from "~/components/links";
import { Page } from "~/components/page";
import { ProblemAlert } from "~/components/problem-alert";
import { Time } from "~/components/time";
import { NamedLink } from "~/pages/policy/names";
import { UndoButton } from "~/pages/policy/undo";
import { PagePending } from "~/shell/fallbacks";
import { AccessTable, ChangesTable, CutTable } from "./parts";
import { applyPlan, blastOf, draftOf, makePlan, type Plan, planQuery, shortHash } from "./queries";
import { SummaryTiles } from "./summary";

export default function PlanPage() {
  const { hash = "" } = useParams({ strict: false }) as { hash?: string };
  const { data: plan, error, refetch } = useQuery(planQuery(hash));
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!plan) return <PagePending />;
  return <PlanView key={plan.hash} plan={plan} />;
}

function PlanView({ plan }: { plan: Plan }) {
  const may = useMay();
  const [approving, dialog] = useDisclosure();
  const [key] = useState(idempotencyKey);
  const open = plan.applied_at == null;
  // One change is one event, which can be taken back; of several each stands in the audit trail.
  const single = plan.changes.length === 1 ? plan.applied_revision : null;
  const nothing = plan.changes.length === 0;
  const gained = plan.access.filter(({ change }) => change !== "lost");
  const lost = plan.access.filter(({ change }) => change === "lost");
  const done = async () => {
    await queryClient.invalidateQueries();
  };
  return (
    <Page
      title={`Plan ${shortHash(plan.hash)}`}
      subtitle={<CopyId id={plan.hash} />}
      actions={
        open ? (
          <>
            <ButtonLink variant="default" to="/plans/new" search={{ from: plan.hash }}>
              Back to the document
            </ButtonLink>
            {may("plans:write") && (
              <Button
                leftSection={<IconCheck size={16} />}
                disabled={!plan.applicable || nothing}
                onClick={dialog.open}
              >
                Approve and apply
              </Button>
            )}
          </>
        ) : (
          single != null && <UndoButton position={single} />
        )
      }
    >
      <Applied plan={plan} />
      {open && <Outdated plan={plan} />}
      <Faults title="It cannot be applied" faults={plan.faults} />
      <Faults title="Tests of the document fail" faults={plan.failed_tests} />
      {nothing && plan.applicable && (
        <Alert color="gate" variant="light" title="Nothing to do">
          The policy is already as the document says.
        </Alert>
      )}
      <SummaryTiles summary={plan.summary} />
      <Withheld plan={plan} />
      {!nothing && <ChangesTable changes={plan.changes} />}
      <AccessTable title="Who loses" lines={lost} />
      <AccessTable title="Who gains, or reaches otherwise" lines={gained} />
      <CutTable cuts={plan.cut} />
      <Made plan={plan} />
      <ConfirmDanger
        opened={approving}
        onClose={dialog.close}
        title={`Apply plan ${shortHash(plan.hash)}?`}
        verb="Apply exactly this"
        blast={async () => blastOf(plan)}
        act={() => applyPlan(plan.hash, key)}
        done={done}
      />
    </Page>
  );
}

function Made({ plan }: { plan: Plan }) {
  return (
    <Stack gap="xs">
      <Text size="sm" c="dimmed">
        Made <Time at={plan.created_at} /> by{" "}
        {plan.created_by.startsWith("usr_") ? <NamedLink within kind="user" id={plan.created_by} /> : plan.created_by}{" "}
        from revision {plan.revision}
        {plan.prune && ", with prune"}; it can be applied until <Time at={plan.expires_at} both />.
      </Text>
      {plan.applied_at == null && <CommandBlock command={`ostiary admin apply --plan ${plan.hash}`} />}
    </Stack>
  );
}

function Applied({ plan }: { plan: Plan }) {
  if (plan.applied_at == null) return null;
  return (
    <Alert color="gate" variant="light" icon={<IconCheck />} title="Applied">
      <Text size="sm">
        <Time at={plan.applied_at} /> by{" "}
        {plan.applied_by?.startsWith("usr_") ? <NamedLink within kind="user" id={plan.applied_by} /> : plan.applied_by}
        {plan.applied_revision != null && (
          <>
            {`, as revision ${plan.applied_revision}. `}
            <PageLink underline="always" to={`/enforcement/${plan.applied_revision}`}>
              See who enforces it
            </PageLink>
            {", or "}
            <PageLink underline="always" to="/events" search={{ event: plan.applied_revision }}>
              its last event
            </PageLink>
            .
          </>
        )}
      </Text>
    </Alert>
  );
}

/** A plan is about one revision; when the log has moved on, it is made again from the same document. */
function Outdated({ plan }: { plan: Plan }) {
  const navigate = useNavigate();
  const draft = draftOf(plan.hash);
  const { data: now } = useQuery({
    queryKey: ["enforcement", "revision"],
    queryFn: currentRevision,
    retry: false,
  });
  const again = useMutation({
    mutationFn: () => makePlan(draft ?? { document: "", prune: false }),
    onSuccess: ({ hash }) => navigate({ to: `/plans/${hash}`, replace: true } as never),
  });
  if (now === undefined || now <= plan.revision) return null;
  return (
    <Alert color="orange" variant="light" title="Something has changed since">
      <Stack gap="xs" align="flex-start">
        <Text size="sm">
          The plan starts from revision {plan.revision}; the policy is at {now} now, so this plan may be refused.
          {!draft && " Its document is not in this window any more: plan it again."}
        </Text>
        {draft && (
          <Button
            size="compact-sm"
            variant="default"
            leftSection={<IconRefresh size={14} />}
            loading={again.isPending}
            onClick={() => again.mutate()}
          >
            Plan again
          </Button>
        )}
        <ProblemAlert error={again.error} />
      </Stack>
    </Alert>
  );
}

async function currentRevision(): Promise<number> {
  return (await call(api.GET("/api/v1/enforcement", { params: { query: { limit: 1 } } }))).revision;
}

function Faults({ title, faults }: { title: string; faults: Schemas["PlanFault"][] }) {
  if (faults.length === 0) return null;
  return (
    <Alert color="red" variant="light" role="alert" title={title}>
      <List size="sm">
        {faults.map(({ line, detail }) => (
          <List.Item key={`${line} ${detail}`}>
            {line != null && `line ${line}: `}
            <span className="isolated">{detail}</span>
          </List.Item>
        ))}
      </List>
    </Alert>
  );
}

function Withheld({ plan }: { plan: Plan }) {
  const { withheld = [], truncated } = plan;
  if (withheld.length === 0 && !truncated) return null;
  return (
    <Alert color="gate" variant="light" title="Not everything is shown">
      {truncated && <Text size="sm">Lists were too long to show whole; the numbers count everything.</Text>}
      {withheld.length > 0 && <Text size="sm">Left out, for lack of permissions: {withheld.join(", ")}.</Text>}
    </Alert>
  );
}
