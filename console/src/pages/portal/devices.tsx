import { Button } from "@mantine/core";
import { IconDeviceLaptop } from "@tabler/icons-react";
import { useState } from "react";
import { queryClient } from "~/api/queries";
import { ConfirmDanger } from "~/components/confirm-danger";
import { EmptyState } from "~/components/empty-state";
import { told } from "~/components/notify";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { Time } from "~/components/time";
import { DeviceStatus } from "~/pages/devices/columns";
import { blastOfDevice, type Device, deviceName, revokeDevice } from "~/pages/devices/queries";
import { useMyDevices } from "./queries";

export default function MyDevicesPage() {
  const [revoking, setRevoking] = useState<Device | null>(null);
  const columns: Column<Device>[] = [
    { label: "Name", cell: (device) => <span className="isolated">{deviceName(device)}</span> },
    { label: "State", cell: (device) => <DeviceStatus device={device} /> },
    { label: "Sign-in ends", cell: ({ session_expires_at }) => <Time at={session_expires_at} />, wide: true },
    { label: "Trusted", cell: ({ trusted }) => (trusted ? "yes" : "no"), wide: true },
    {
      label: "Lost it?",
      cell: (device) => (
        <Button
          size="compact-sm"
          variant="default"
          onClick={() => setRevoking(device)}
          aria-label={`Revoke ${deviceName(device)}`}
        >
          Revoke
        </Button>
      ),
    },
  ];
  return (
    <Page title="My devices" subtitle="Where you are signed in. Revoke what you lost, at once.">
      <PagedTable
        label="My devices"
        query={useMyDevices()}
        columns={columns}
        keyOf={({ id }) => id}
        empty={
          <EmptyState icon={IconDeviceLaptop} command={`ostiary up ${window.location.origin}`}>
            You have signed in on no device yet. Install the client, run this, and approve the device in the browser.
          </EmptyState>
        }
      />
      <ConfirmDanger
        opened={revoking !== null}
        onClose={() => setRevoking(null)}
        title={`Revoke ${revoking ? deviceName(revoking) : ""}?`}
        verb="Revoke device"
        blast={() =>
          blastOfDevice(
            revoking?.id ?? "",
            ["It reaches nothing any more, and its key counts nowhere."],
            "You can sign in on it again; it is a new device then.",
          )
        }
        act={async () => revoking && revokeDevice(revoking)}
        done={async () => {
          told("Revoked.");
          await queryClient.invalidateQueries({ queryKey: ["devices"] });
        }}
      />
    </Page>
  );
}
