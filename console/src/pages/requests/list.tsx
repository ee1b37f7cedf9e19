import { Group, Select } from "@mantine/core";
import { IconHandStop } from "@tabler/icons-react";
import { EmptyState } from "~/components/empty-state";
import { PageLink } from "~/components/links";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { useFilters } from "~/components/search";
import { Time } from "~/components/time";
import { durationText } from "~/pages/policy/durations";
import { FilterPicker } from "~/pages/policy/filter-picker";
import { type AccessRequest, type RequestStatus, STATUSES, targetText, useRequests } from "./queries";
import { RequestState } from "./status";

const COLUMNS: Column<AccessRequest>[] = [
  {
    label: "Wants to reach",
    cell: (request) => <PageLink to={`/access-requests/${request.id}`}>{targetText(request)}</PageLink>,
  },
  { label: "Who", cell: ({ user, user_name }) => <PageLink to={`/users/${user}`}>{user_name ?? user}</PageLink> },
  { label: "Why", cell: ({ reason }) => <span className="isolated">{reason}</span>, wide: true },
  { label: "For", cell: ({ duration_s }) => durationText(duration_s), wide: true },
  { label: "State", cell: (request) => <RequestState {...request} /> },
  {
    label: "Ends",
    cell: ({ status, expires_at, granted_until }) => <Time at={status === "open" ? expires_at : granted_until} />,
    wide: true,
  },
];

export default function RequestsPage() {
  const [filters, setFilters] = useFilters();
  const wanted = filters.status ?? "open";
  const status = STATUSES.find((each) => each === wanted) as RequestStatus | undefined;
  const requests = useRequests(status, filters.user);
  return (
    <Page title="Access requests" subtitle="Who was denied may ask; somebody else answers.">
      <Group>
        <Select
          label="State"
          data={[...STATUSES, "all"]}
          allowDeselect={false}
          value={status ?? "all"}
          onChange={(next) => setFilters({ status: next === "open" ? null : next })}
        />
        <FilterPicker kind="user" label="Person" field="user" />
      </Group>
      <PagedTable
        label="Access requests"
        query={requests}
        columns={COLUMNS}
        keyOf={({ id }) => id}
        empty={
          <EmptyState
            icon={IconHandStop}
            command={'ostiary request db.corp.internal:5432 --reason "release 4.2" --for 2h --wait'}
          >
            {status === "open"
              ? "Nobody waits for an answer. Whoever was denied asks with one command, and it appears here at once."
              : "No request is like this."}
          </EmptyState>
        }
      />
    </Page>
  );
}
