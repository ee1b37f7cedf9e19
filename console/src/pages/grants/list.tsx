import { Button, SimpleGrid } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconKey, IconPlus } from "@tabler/icons-react";
import { useMay } from "~/api/session";
import { EmptyState } from "~/components/empty-state";
import { PageLink } from "~/components/links";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { useFilters } from "~/components/search";
import { Time } from "~/components/time";
import { FilterPicker } from "~/pages/policy/filter-picker";
import { NamedLink, Subject } from "~/pages/policy/names";
import { CreateDrawer } from "./create-drawer";
import { type Grant, useGrants } from "./queries";
import { Until } from "./until";

const COLUMNS: Column<Grant>[] = [
  { label: "Who", cell: ({ subject_kind, subject }) => <Subject kind={subject_kind} id={subject} /> },
  { label: "Reaches", cell: ({ resource }) => <NamedLink kind="resource" id={resource} /> },
  { label: "Under", cell: ({ policy }) => (policy ? <NamedLink kind="policy" id={policy} /> : "no conditions") },
  { label: "Until", cell: (grant) => <Until {...grant} /> },
  { label: "Since", cell: ({ created_at }) => <Time at={created_at} />, wide: true },
  {
    label: "More",
    cell: ({ id }) => (
      <PageLink to={`/grants/${id}`} aria-label={`Details of ${id}`}>
        Details
      </PageLink>
    ),
  },
];

export default function GrantsPage() {
  const may = useMay();
  const [filters] = useFilters();
  const [creating, drawer] = useDisclosure(filters.create !== undefined);
  const { subject, resource, policy } = filters;
  const grants = useGrants({ subject, resource, policy });
  const filtered = Boolean(subject || resource || policy);
  const create = may("grants:write") && (
    <Button leftSection={<IconPlus size={16} />} onClick={drawer.open}>
      New grant
    </Button>
  );
  return (
    <Page title="Grants" subtitle="Who reaches what, under which conditions, and until when." actions={create}>
      <SimpleGrid cols={{ base: 1, xs: 2, lg: 4 }} spacing="sm">
        <FilterPicker kind="group" label="Group" field="subject" />
        <FilterPicker kind="user" label="Person" field="subject" />
        <FilterPicker kind="resource" label="Resource" field="resource" />
        <FilterPicker kind="policy" label="Policy" field="policy" />
      </SimpleGrid>
      <PagedTable
        label="Grants"
        query={grants}
        columns={COLUMNS}
        keyOf={({ id }) => id}
        empty={
          <EmptyState
            icon={IconKey}
            action={create}
            command="ostiary admin grant create --to group:engineers --resource wiki"
          >
            {filtered
              ? "No grant is like this. Whatever no grant names is denied."
              : "Nobody reaches anything yet: a grant lets a group, a person or a service account reach one resource."}
          </EmptyState>
        }
      />
      <CreateDrawer opened={creating} onClose={drawer.close} preset={{ resource, policy }} />
    </Page>
  );
}
