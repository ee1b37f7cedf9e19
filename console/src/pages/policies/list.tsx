import { Badge, Button, Group } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconPlus, IconShieldCheck } from "@tabler/icons-react";
import { useMay } from "~/api/session";
import { EmptyState } from "~/components/empty-state";
import { PageLink } from "~/components/links";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { useFilters } from "~/components/search";
import { counted } from "~/components/words";
import { conditionTexts } from "~/pages/policy/conditions";
import { PolicyDrawer } from "./drawer";
import { type Policy, usePolicies } from "./queries";

const COLUMNS: Column<Policy>[] = [
  { label: "Name", cell: ({ id, name }) => <PageLink to={`/policies/${id}`}>{name}</PageLink> },
  {
    label: "All of this must hold",
    cell: ({ conditions }) => (
      <Group gap={6}>
        {conditionTexts(conditions).map((text) => (
          <Badge key={text} variant="default" tt="none" fw={500}>
            {text}
          </Badge>
        ))}
      </Group>
    ),
  },
  {
    label: "Grants under it",
    cell: ({ id, grants }) => (
      <PageLink to="/grants" search={{ policy: id }}>
        {counted(grants, "grant", "grants")}
      </PageLink>
    ),
  },
];

export default function PoliciesPage() {
  const may = useMay();
  const [filters] = useFilters();
  const [creating, drawer] = useDisclosure(filters.create !== undefined);
  const policies = usePolicies();
  const create = may("policies:write") && (
    <Button leftSection={<IconPlus size={16} />} onClick={drawer.open}>
      New policy
    </Button>
  );
  return (
    <Page title="Policies" subtitle="Conditions under which grants hold." actions={create}>
      <PagedTable
        label="Policies"
        query={policies}
        columns={COLUMNS}
        keyOf={({ id }) => id}
        empty={
          <EmptyState
            icon={IconShieldCheck}
            action={create}
            command={'ostiary admin policy create "office hours" --hours "mon-fri 08:00-18:00" --zone Europe/Berlin'}
          >
            A policy says when a grant holds: how fresh the sign-in is, which device, from where, and at which hours.
          </EmptyState>
        }
      />
      <PolicyDrawer opened={creating} onClose={drawer.close} />
    </Page>
  );
}
