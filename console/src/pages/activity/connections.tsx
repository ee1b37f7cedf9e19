import { Button, Group, SegmentedControl } from "@mantine/core";
import { IconListDetails, IconX } from "@tabler/icons-react";
import { EmptyState } from "~/components/empty-state";
import { NameFilter } from "~/components/name-filter";
import { Page } from "~/components/page";
import { PagedTable } from "~/components/paged-table";
import { useFilters } from "~/components/search";
import { connectionColumns } from "./columns";
import { ExportMenu } from "./export-menu";
import { MomentFilter } from "./moment-filter";
import { connectionQuery, useConnections } from "./queries";

const VIEWS: Record<string, Record<string, string | null>> = {
  all: { open: null, denied: null, differs: null },
  open: { open: "true", denied: null, differs: null },
  denied: { open: null, denied: "true", differs: null },
  differs: { open: null, denied: null, differs: "true" },
};

export default function ConnectionsPage() {
  const [filters, setFilters] = useFilters();
  const chosen = ["open", "denied", "differs"].find((name) => filters[name] === "true") ?? "all";
  const set = Object.keys(connectionQuery(filters));
  return (
    <Page
      title="Connections"
      subtitle="Open, served and denied, as both sides told them."
      actions={<ExportMenu kind="connections" filters={filters} />}
    >
      <SegmentedControl
        aria-label="Which"
        value={chosen}
        onChange={(view) => setFilters(VIEWS[view] ?? {})}
        data={[
          { value: "all", label: "All" },
          { value: "open", label: "Open now" },
          { value: "denied", label: "Denied" },
          { value: "differs", label: "Sides differ" },
        ]}
        style={{ alignSelf: "flex-start" }}
      />
      <Group align="flex-end">
        <NameFilter field="user" label="Who" placeholder="usr_… or svc_…" />
        <NameFilter field="resource" label="Resource" placeholder="res_…" />
        <NameFilter field="connector" label="Connector" placeholder="con_…" />
        <NameFilter field="outcome" label="Reason" placeholder="no_grant" />
        <MomentFilter field="since" label="From" />
        <MomentFilter field="until" label="Until" />
        {set.length > 0 && (
          <Button
            variant="subtle"
            leftSection={<IconX size={16} />}
            onClick={() => setFilters(Object.fromEntries(set.map((name) => [name, null])))}
          >
            Clear
          </Button>
        )}
      </Group>
      <PagedTable
        label="Connections"
        query={useConnections(filters)}
        columns={connectionColumns}
        keyOf={({ id }) => String(id)}
        empty={
          <EmptyState icon={IconListDetails} command="ostiary admin connection list --denied">
            No connection is like this. Each connection of a client, served or denied, is told here by both of its
            sides.
          </EmptyState>
        }
      />
    </Page>
  );
}
