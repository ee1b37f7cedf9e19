import { Group, Select } from "@mantine/core";
import { IconDeviceLaptop } from "@tabler/icons-react";
import { EmptyState } from "~/components/empty-state";
import { NameFilter } from "~/components/name-filter";
import { Page } from "~/components/page";
import { PagedTable } from "~/components/paged-table";
import { useFilters } from "~/components/search";
import { Named } from "~/pages/activity/columns";
import { deviceColumns } from "./columns";
import { useDevices } from "./queries";

export default function DevicesPage() {
  const [filters, setFilters] = useFilters();
  const online = filters.online === undefined ? undefined : filters.online === "true";
  const [name, ...rest] = deviceColumns;
  const owner = { label: "Whose", cell: (device: { owner: string }) => <Named id={device.owner} /> };
  return (
    <Page
      title="Devices"
      subtitle="Each made its own key, which never leaves it; people are asked on which one they sit."
    >
      <Group>
        <NameFilter field="owner" label="Whose" placeholder="usr_… or svc_…" />
        <Select
          label="State"
          placeholder="All states"
          clearable
          data={[
            { value: "true", label: "Online" },
            { value: "false", label: "Offline" },
          ]}
          value={filters.online ?? null}
          onChange={(value) => setFilters({ online: value })}
        />
      </Group>
      <PagedTable
        label="Devices"
        query={useDevices({ owner: filters.owner, online })}
        columns={name ? [name, owner, ...rest] : rest}
        keyOf={({ id }) => id}
        empty={
          <EmptyState icon={IconDeviceLaptop} command={`ostiary up ${window.location.origin}`}>
            No device is like this. A device is registered when somebody signs in on it.
          </EmptyState>
        }
      />
    </Page>
  );
}
