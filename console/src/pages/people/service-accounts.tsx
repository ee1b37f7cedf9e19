import { Button, Group } from "@mantine/core";
import { IconPlus, IconRobot } from "@tabler/icons-react";
import { useMay } from "~/api/session";
import { EmptyState } from "~/components/empty-state";
import { PageLink } from "~/components/links";
import { NameFilter } from "~/components/name-filter";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { useFilters } from "~/components/search";
import { Status } from "~/components/status";
import { Time } from "~/components/time";
import { EnrolService } from "./enrol-service";
import { type ServiceAccount, useServiceAccounts } from "./queries";

const columns: Column<ServiceAccount>[] = [
  { label: "Name", cell: ({ id, name }) => <PageLink to={`/service-accounts/${id}`}>{name}</PageLink> },
  {
    label: "State",
    cell: ({ disabled }) => <Status kind={disabled ? "bad" : "good"} label={disabled ? "Disabled" : "Enabled"} />,
  },
  { label: "Hosts", cell: ({ devices }) => devices },
  { label: "Made", cell: ({ created_at }) => <Time at={created_at} />, wide: true },
];

export default function ServiceAccountsPage() {
  const may = useMay();
  const [filters, setFilters] = useFilters();
  const create = may("service-accounts:write") && (
    <Button leftSection={<IconPlus size={16} />} onClick={() => setFilters({ create: "new" })}>
      New service account
    </Button>
  );
  return (
    <Page title="Service accounts" subtitle="Services and jobs that reach resources without a person." actions={create}>
      <Group>
        <NameFilter />
      </Group>
      <PagedTable
        label="Service accounts"
        query={useServiceAccounts(filters.name)}
        columns={columns}
        keyOf={({ id }) => id}
        empty={
          <EmptyState icon={IconRobot} action={create} command="ostiary admin service-account create billing">
            A service account has no person behind it and no sign-in that ends: a token makes one host's identity.
          </EmptyState>
        }
      />
      <EnrolService
        opened={filters.create !== undefined && may("service-accounts:write")}
        onClose={() => setFilters({ create: null })}
      />
    </Page>
  );
}
