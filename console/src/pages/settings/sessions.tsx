import { Group } from "@mantine/core";
import { NameFilter } from "~/components/name-filter";
import { Page } from "~/components/page";
import { useFilters } from "~/components/search";
import { useSessions } from "./queries";
import { SessionTable } from "./session-table";

export default function SessionsPage() {
  const [filters] = useFilters();
  return (
    <Page title="Sessions" subtitle="Of console, API and sign-in page. Those of devices are at the devices.">
      <Group>
        <NameFilter field="user" label="Whose" placeholder="usr_…" />
      </Group>
      <SessionTable query={useSessions(filters.user)} whose />
    </Page>
  );
}
