import { Button, Title } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconShieldCheck, IconTrash } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { queryClient } from "~/api/queries";
import { useMay } from "~/api/session";
import { ConfirmDanger } from "~/components/confirm-danger";
import { CopyId } from "~/components/copy";
import { PageLink } from "~/components/links";
import { told } from "~/components/notify";
import { Facts, Page } from "~/components/page";
import { ProblemAlert } from "~/components/problem-alert";
import { Status } from "~/components/status";
import { Time } from "~/components/time";
import { Named } from "~/pages/activity/columns";
import { clockText } from "~/pages/connectors/columns";
import { PagePending } from "~/shell/fallbacks";
import { DeviceStatus } from "./columns";
import { blastOfDevice, type Device, deviceName, deviceQuery, revokeDevice, setTrust, signDeviceOut } from "./queries";

export default function DevicePage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const { data: device, error, refetch } = useQuery({ ...deviceQuery(id), refetchInterval: 15_000 });
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!device) return <PagePending />;
  return (
    <Page title={deviceName(device)} subtitle={<CopyId id={device.id} />} actions={<Actions device={device} />}>
      <Facts
        facts={[
          ["Whose", <Named key="owner" id={device.owner} />],
          ["State", <DeviceStatus key="state" device={device} />],
          [
            "Trust",
            <Status
              key="trust"
              kind={device.trusted ? "good" : "unknown"}
              label={device.trusted ? "An administrator vouches for it" : "Nobody vouches for it"}
            />,
          ],
          ["Sign-in ends", <Time key="session" at={device.session_expires_at} both />],
          ["Clock", clockText(device.clock_offset_ms)],
          ["Client", device.software || "not known"],
          ["Enforces revision", device.enforced_revision ? `#${device.enforced_revision}` : "not known"],
          ["Registered", <Time key="registered" at={device.registered_at} both />],
          [
            "Activity",
            <PageLink key="activity" to="/connections" search={{ device: device.id }}>
              Its connections
            </PageLink>,
          ],
        ]}
      />
      <DeviceFacts facts={device.facts} platform={device.platform} />
    </Page>
  );
}

function yesNo(value: boolean | null): string {
  return value === null ? "not known" : value ? "yes" : "no";
}

function DeviceFacts({ facts, platform }: { facts: Device["facts"]; platform: string }) {
  return (
    <section aria-label="What it says of itself">
      <Title order={2} size="h4" mb="xs">
        What it says of itself
      </Title>
      {facts ? (
        <Facts
          facts={[
            ["System", `${facts.distribution || facts.os} ${facts.version}`],
            ["Kernel", facts.kernel],
            ["Client", facts.client],
            ["Disk encrypted", yesNo(facts.disk_encrypted)],
            ["Firewall", yesNo(facts.firewall)],
            ["Told", <Time key="told" at={facts.reported_at} both />],
          ]}
        />
      ) : (
        <Facts facts={[["Platform", `${platform}; it has told nothing else yet`]]} />
      )}
    </section>
  );
}

type Danger = "revoke" | "sign-out" | "distrust";

function Actions({ device }: { device: Device }) {
  const may = useMay();
  const navigate = useNavigate();
  const [opened, dialog] = useDisclosure();
  const [which, setWhich] = useState<Danger>("revoke");
  const refresh = () =>
    Promise.all(["devices", "access"].map((key) => queryClient.invalidateQueries({ queryKey: [key] })));
  const trusting = useMutation({
    mutationFn: () => setTrust(device, true),
    onSuccess: async () => {
      await refresh();
      told("Trusted; what policies give to trusted devices is open at once.");
    },
  });
  if (!may("devices:write")) return null;
  const ask = (danger: Danger) => {
    setWhich(danger);
    dialog.open();
  };
  const name = deviceName(device);
  const dangers = {
    revoke: {
      title: `Revoke ${name}?`,
      verb: "Revoke device",
      lines: ["It loses its standing at once; its key counts nowhere any more."],
      undo: "Its owner can sign in on it anew; it is a new device then.",
      act: () => revokeDevice(device),
    },
    "sign-out": {
      title: `Sign ${name} out?`,
      verb: "Sign out",
      lines: ["Its user has to sign in again; the device stays known."],
      undo: "Signing in again gives everything back.",
      act: () => signDeviceOut(device.id),
    },
    distrust: {
      title: `Trust ${name} no longer?`,
      verb: "Take trust away",
      lines: ["Only connections under a policy that asks for trust are among them."],
      undo: "Trusting it again gives it back.",
      act: () => setTrust(device, false),
    },
  };
  const danger = dangers[which];
  return (
    <>
      {device.trusted ? (
        <Button variant="default" onClick={() => ask("distrust")}>
          Trust no longer
        </Button>
      ) : (
        <Button
          variant="default"
          leftSection={<IconShieldCheck size={16} />}
          loading={trusting.isPending}
          onClick={() => trusting.mutate()}
        >
          Trust
        </Button>
      )}
      {device.session && (
        <Button variant="default" onClick={() => ask("sign-out")}>
          Sign out
        </Button>
      )}
      <Button variant="default" leftSection={<IconTrash size={16} />} onClick={() => ask("revoke")}>
        Revoke
      </Button>
      <ProblemAlert error={trusting.error} />
      <ConfirmDanger
        opened={opened}
        onClose={dialog.close}
        title={danger.title}
        verb={danger.verb}
        blast={() => blastOfDevice(device.id, danger.lines, danger.undo)}
        act={danger.act}
        done={async () => {
          if (which === "revoke") await navigate({ to: "/devices" } as never);
          told("Done.");
          await refresh();
        }}
      />
    </>
  );
}
