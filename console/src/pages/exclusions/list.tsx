import { Button, Group } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconBan, IconPlus } from "@tabler/icons-react";
import { useMay } from "~/api/session";
import { EmptyState } from "~/components/empty-state";
import { PageLink } from "~/components/links";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { useFilters } from "~/components/search";
import { Time } from "~/components/time";
import { Until } from "~/pages/grants/until";
import { FilterPicker } from "~/pages/policy/filter-picker";
import { NamedLink, Subject } from "~/pages/policy/names";
import { CreateDrawer } from "./create-drawer";
import { type Exclusion, useExclusions } from "./queries";

const COLUMNS: Column<Exclusion>[] = [
  { label: "Who", cell: ({ subject_kind, subject }) => <Subject kind={subject_kind} id={subject} /> },
  { label: "Never reaches", cell: ({ resource }) => <NamedLink kind="resource" id={resource} /> },
  { label: "Until", cell: (exclusion) => <Until {...exclusion} /> },
  { label: "Since", cell: ({ created_at }) => <Time at={created_at} />, wide: true },
  {
    label: "More",
    cell: ({ id }) => (
      <PageLink to={`/exclusions/${id}`} aria-label={`Details of ${id}`}>
        Details
      </PageLink>
    ),
  },
];

export default function ExclusionsPage() {
  const may = useMay();
  const [filters] = useFilters();
  const [creating, drawer] = useDisclosure(filters.create !== undefined);
  const { subject, resource } = filters;
  const exclusions = useExclusions({ subject, resource });
  const create = may("policies:write") && (
    <Button leftSection={<IconPlus size={16} />} onClick={drawer.open}>
      New exclusion
    </Button>
  );
  return (
    <Page title="Exclusions" subtitle="Who may not reach something, whatever grants say." actions={create}>
      <Group>
        <FilterPicker kind="group" label="Group" field="subject" />
        <FilterPicker kind="resource" label="Resource" field="resource" />
      </Group>
      <PagedTable
        label="Exclusions"
        query={exclusions}
        columns={COLUMNS}
        keyOf={({ id }) => id}
        empty={
          <EmptyState
            icon={IconBan}
            action={create}
            command="ostiary admin exclusion create --for group:contractors --resource payroll"
          >
            {subject || resource
              ? "No exclusion is like this."
              : "Nobody is excluded. An exclusion keeps a group, a person or a service account from a resource, whatever grants say."}
          </EmptyState>
        }
      />
      <CreateDrawer opened={creating} onClose={drawer.close} />
    </Page>
  );
}
