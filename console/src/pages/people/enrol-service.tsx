import { Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMay } from "~/api/session";
import { shellWord } from "~/components/words";
import { devicesQuery } from "~/pages/devices/queries";
import type { Way } from "~/pages/networks/commands";
import { EnrolDrawer, type Issued } from "~/pages/networks/enrol-drawer";
import { LiveSteps } from "~/pages/networks/enrolment";
import { createServiceAccount, newServiceToken, type ServiceAccount } from "./queries";

interface EnrolServiceProps {
  opened: boolean;
  onClose: () => void;
  /** Enrols a further host of this one; without it an account is made. */
  account?: ServiceAccount;
}

interface IssuedAccount extends Issued {
  /** Hosts that were there before. */
  devices: number;
}

/** How a host takes a service account's identity. */
export function serviceWays(controller: string, token: string): Way[] {
  const piped = `printf %s ${shellWord(token)}`;
  return [
    {
      value: "package",
      label: "Package, systemd",
      command: `sudo ostiary service install\n${piped} | sudo ostiary up ${controller} --token-file -`,
      note: "Where the controller has its own CA add --ca-pin sha256/…, which `ostiary-controller serve` prints.",
    },
    {
      value: "container",
      label: "Container",
      command: `(umask 077; ${piped} > billing.token) \\\n  && docker compose -f docker/sidecar.yaml up --detach --wait`,
      note: "A client beside an application that shares its network; docker/sidecar.yaml says how to put yours into it.",
    },
    {
      value: "job",
      label: "CI job",
      command: `ostiaryd --mode proxy &\n${piped} | ostiary up ${controller} --token-file - --timeout 60s`,
      note: "Without root: programs use SOCKS5 at 127.0.0.1:1055, or ports of OSTIARY_FORWARDS.",
    },
  ];
}

export function EnrolService({ opened, onClose, account }: EnrolServiceProps) {
  return (
    <EnrolDrawer
      opened={opened}
      onClose={onClose}
      title={account ? `Enrol a host of ${account.name}` : "New service account"}
      initialValues={{ name: "" }}
      fields={(form) =>
        account ? (
          <Text size="sm">Each token enrols one host. A new token makes an unused earlier one void.</Text>
        ) : (
          <TextInput label="Name" required data-autofocus {...form.getInputProps("name")} />
        )
      }
      create={async ({ name }, key): Promise<IssuedAccount> => {
        const made = await createServiceAccount(name, key);
        return { ...made, token: made.enrolment_token, expires_at: made.enrolment_expires_at };
      }}
      renew={async (known, key) => {
        const made = await newServiceToken(known.id, key);
        return { ...known, token: made.enrolment_token, expires_at: made.expires_at };
      }}
      known={account}
      list="service-accounts"
      noun="the account"
      where={() => "On the host of the service:"}
      ways={({ token }) => serviceWays(window.location.origin, token)}
      progress={(issued) => <Hosts issued={issued} />}
    />
  );
}

function Hosts({ issued }: { issued: IssuedAccount }) {
  const may = useMay();
  const { data } = useQuery({
    ...devicesQuery(issued.id),
    enabled: may("devices:read"),
    refetchInterval: 2_000,
  });
  if (!data) return null;
  const enrolled = data.items.length > issued.devices;
  const online = data.items.some((device) => device.online);
  return (
    <LiveSteps
      steps={[
        { label: "Enrolled", state: enrolled ? "done" : "waiting" },
        {
          label: "Connected to the controller",
          state: enrolled ? (online ? "done" : "waiting") : "later",
        },
      ]}
    />
  );
}
