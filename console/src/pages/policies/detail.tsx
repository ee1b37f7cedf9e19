import { Button, List, Title } from "@mantine/core";
import { IconKey, IconPencil } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useMay } from "~/api/session";
import { CopyId } from "~/components/copy";
import { EmptyState } from "~/components/empty-state";
import { ButtonLink } from "~/components/links";
import { useSnapshot } from "~/components/overtaken";
import { Facts, Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { ProblemAlert } from "~/components/problem-alert";
import { Removal } from "~/components/removal";
import { Time } from "~/components/time";
import { shellWord } from "~/components/words";
import { type Grant, useGrants } from "~/pages/grants/queries";
import { Until } from "~/pages/grants/until";
import { conditionTexts } from "~/pages/policy/conditions";
import { NamedLink, Subject } from "~/pages/policy/names";
import { PagePending } from "~/shell/fallbacks";
import { PolicyDrawer } from "./drawer";
import { blastOf, type Policy, policyQuery, removePolicy } from "./queries";

const COLUMNS: Column<Grant>[] = [
  { label: "Who", cell: ({ subject_kind, subject }) => <Subject kind={subject_kind} id={subject} /> },
  { label: "Reaches", cell: ({ resource }) => <NamedLink kind="resource" id={resource} /> },
  { label: "Until", cell: (grant) => <Until {...grant} /> },
];

export default function PolicyPage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const { data: policy, error, refetch } = useQuery(policyQuery(id));
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!policy) return <PagePending />;
  return <PolicyFacts policy={policy} />;
}

function PolicyFacts({ policy }: { policy: Policy }) {
  const may = useMay();
  const edit = useSnapshot(policy);
  const grants = useGrants({ policy: policy.id });
  return (
    <Page
      title={policy.name}
      subtitle={<CopyId id={policy.id} />}
      actions={
        may("policies:write") && (
          <>
            <Button variant="default" leftSection={<IconPencil size={16} />} onClick={edit.open}>
              Change
            </Button>
            <Removal
              name={policy.name}
              noun="policy"
              queryKey={policyQuery(policy.id).queryKey}
              blast={() => blastOf(policy)}
              act={() => removePolicy(policy)}
            />
          </>
        )
      }
    >
      <Facts
        facts={[
          [
            "All of this must hold",
            <List key="conditions" size="sm">
              {conditionTexts(policy.conditions).map((text) => (
                <List.Item key={text}>{text}</List.Item>
              ))}
            </List>,
          ],
          ["Since", <Time key="since" at={policy.created_at} both />],
        ]}
      />
      <Title order={2} size="h4">
        Grants under it
      </Title>
      <PagedTable
        label="Grants under it"
        query={grants}
        columns={COLUMNS}
        keyOf={({ id }) => id}
        empty={
          <EmptyState
            icon={IconKey}
            action={
              may("grants:write") && (
                <ButtonLink to="/grants" search={{ create: "1", policy: policy.id }}>
                  New grant under it
                </ButtonLink>
              )
            }
            command={`ostiary admin grant create --to group:GROUP --resource RESOURCE --policy ${shellWord(policy.name)}`}
          >
            No grant names it yet, so it changes nothing.
          </EmptyState>
        }
      />
      {edit.opened && (
        <PolicyDrawer
          key={edit.edited?.version}
          opened
          onClose={edit.close}
          policy={edit.edited ?? policy}
          note={edit.overtaken}
        />
      )}
    </Page>
  );
}
