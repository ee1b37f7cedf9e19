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
import { NamedLink, Subject } from "~/pages/policy/names";
import { Picker } from "~/pages/policy/pickers";
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
  const [filters, setFilters] = useFilters();
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
        <Picker
          kind="group"
          label="Group"
          placeholder="All"
          clearable
          value={subject?.startsWith("grp_") ? subject : null}
          onChange={(id) => setFilters({ subject: id })}
        />
        <Picker
          kind="user"
          label="Person"
          placeholder="All"
          clearable
          value={subject?.startsWith("usr_") ? subject : null}
          onChange={(id) => setFilters({ subject: id })}
        />
        <Picker
          kind="resource"
          label="Resource"
          placeholder="All"
          clearable
          value={resource ?? null}
          onChange={(id) => setFilters({ resource: id })}
        />
        <Picker
          kind="policy"
          label="Policy"
          placeholder="All"
          clearable
          value={policy ?? null}
          onChange={(id) => setFilters({ policy: id })}
        />
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
