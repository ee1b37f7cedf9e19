import { Button, Drawer, Group, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { idempotencyKey } from "~/api/client";
import { queryClient } from "~/api/queries";
import { useMay } from "~/api/session";
import { ButtonLink } from "~/components/links";
import { ProblemAlert, placeProblem } from "~/components/problem-alert";
import { shellWord } from "~/components/words";
import { devicesQuery } from "~/pages/devices/queries";
import type { Way } from "~/pages/networks/commands";
import { LiveSteps, TokenCommands } from "~/pages/networks/enrolment";
import { createServiceAccount, newServiceToken, type ServiceAccount } from "./queries";

interface EnrolServiceProps {
  opened: boolean;
  onClose: () => void;
  /** Enrols a further host of this one; without it an account is made. */
  account?: ServiceAccount;
}

interface Issued {
  account: string;
  name: string;
  token: string;
  expires_at: string;
  /** Hosts that were there before. */
  known: number;
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

export function EnrolService(props: EnrolServiceProps) {
  return (
    <Drawer
      opened={props.opened}
      onClose={props.onClose}
      title={props.account ? `Enrol a host of ${props.account.name}` : "New service account"}
      closeButtonProps={{ "aria-label": "Close" }}
    >
      {props.opened && <Enrol {...props} />}
    </Drawer>
  );
}

function Enrol({ account, onClose }: EnrolServiceProps) {
  const [issued, setIssued] = useState<Issued | null>(null);
  const key = useRef(idempotencyKey());
  const form = useForm({ initialValues: { name: "" } });
  const making = useMutation({
    mutationFn: async (known: { id: string; name: string; devices: number } | null): Promise<Issued> => {
      if (known) {
        const made = await newServiceToken(known.id, key.current);
        const { enrolment_token: token, expires_at } = made;
        return { account: known.id, name: known.name, token, expires_at, known: known.devices };
      }
      const made = await createServiceAccount(form.values.name, key.current);
      const { id, name, enrolment_token: token, enrolment_expires_at: expires_at } = made;
      return { account: id, name, token, expires_at, known: 0 };
    },
    onError: (error) => placeProblem(form, error),
    onSuccess: async (made) => {
      key.current = idempotencyKey();
      setIssued(made);
      await queryClient.invalidateQueries({ queryKey: ["service-accounts"] });
    },
  });
  if (issued) {
    return (
      <Stack>
        <Text size="sm">On the host of the service:</Text>
        <TokenCommands
          ways={serviceWays(window.location.origin, issued.token)}
          expires_at={issued.expires_at}
          again={() => making.mutate({ id: issued.account, name: issued.name, devices: issued.known })}
        />
        <ProblemAlert error={making.error} />
        <Hosts issued={issued} />
        <Group justify="flex-end">
          <ButtonLink to={`/service-accounts/${issued.account}`} variant="default">
            Open the account
          </ButtonLink>
          <Button onClick={onClose}>Done</Button>
        </Group>
      </Stack>
    );
  }
  return (
    <form noValidate onSubmit={form.onSubmit(() => making.mutate(account ?? null))}>
      <Stack>
        {account ? (
          <Text size="sm">Each token enrols one host. A new token makes an unused earlier one void.</Text>
        ) : (
          <TextInput label="Name" required data-autofocus {...form.getInputProps("name")} />
        )}
        {Object.keys(form.errors).length === 0 && <ProblemAlert error={making.error} />}
        <Group justify="flex-end">
          <Button type="submit" loading={making.isPending}>
            Make the one-time token
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function Hosts({ issued }: { issued: Issued }) {
  const may = useMay();
  const { data } = useQuery({
    ...devicesQuery(issued.account),
    enabled: may("devices:read"),
    refetchInterval: 2_000,
  });
  if (!data) return null;
  const enrolled = data.items.length > issued.known;
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
