import { Button, Drawer, Group, NumberInput, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { idempotencyKey } from "~/api/client";
import { queryClient } from "~/api/queries";
import { ButtonLink } from "~/components/links";
import { ProblemAlert, placeProblem } from "~/components/problem-alert";
import { useNow } from "~/components/time";
import { waysOf } from "~/pages/networks/commands";
import { LiveSteps, TokenCommands } from "~/pages/networks/enrolment";
import { createRelay, newRelayToken, type Relay, relayQuery } from "./queries";
import { relaySteps } from "./steps";

interface AddRelayProps {
  opened: boolean;
  onClose: () => void;
  /** Enrols this one anew. */
  relay?: Relay;
}

interface Issued {
  id: string;
  name: string;
  port: number;
  token: string;
  expires_at: string;
}

/** From a public name to a relay that connectors use. */
export function AddRelay(props: AddRelayProps) {
  return (
    <Drawer
      opened={props.opened}
      onClose={props.onClose}
      title={props.relay ? `Enrol ${props.relay.name} anew` : "Add a relay"}
      closeButtonProps={{ "aria-label": "Close" }}
    >
      {props.opened && <Add {...props} />}
    </Drawer>
  );
}

function Add({ relay, onClose }: AddRelayProps) {
  const [issued, setIssued] = useState<Issued | null>(null);
  const key = useRef(idempotencyKey());
  const form = useForm({ initialValues: { name: "", fqdn: "", port: 8444 } });
  const making = useMutation({
    mutationFn: async (known: { id: string; name: string; port: number } | null): Promise<Issued> => {
      if (known) {
        const made = await newRelayToken(known.id, key.current);
        return { ...known, token: made.enrolment_token, expires_at: made.expires_at };
      }
      const made = await createRelay(form.values, key.current);
      const { id, name, port } = made;
      return { id, name, port, token: made.enrolment_token, expires_at: made.enrolment_expires_at };
    },
    onError: (error) => placeProblem(form, error),
    onSuccess: async (made) => {
      key.current = idempotencyKey();
      setIssued(made);
      await queryClient.invalidateQueries({ queryKey: ["relays"] });
    },
  });
  if (issued) {
    return (
      <Stack>
        <Text size="sm">
          On the host behind that name. It needs one inbound TCP port, {issued.port}, and dials nobody:
        </Text>
        <TokenCommands
          ways={waysOf("relay", issued.name, issued.token, issued.port)}
          expires_at={issued.expires_at}
          again={() => making.mutate({ id: issued.id, name: issued.name, port: issued.port })}
        />
        <ProblemAlert error={making.error} />
        <Progress issued={issued} />
        <Group justify="flex-end">
          <ButtonLink to={`/relays/${issued.id}`} variant="default">
            Open the relay
          </ButtonLink>
          <Button onClick={onClose}>Done</Button>
        </Group>
      </Stack>
    );
  }
  return (
    <form noValidate onSubmit={form.onSubmit(() => making.mutate(relay ?? null))}>
      <Stack>
        {relay ? (
          <Text size="sm">
            Enrolling again gives the relay a new certificate. A new token makes an unused earlier one void.
          </Text>
        ) : (
          <>
            <TextInput label="Name" required data-autofocus {...form.getInputProps("name")} />
            <TextInput
              label="Public name"
              description="Clients, connectors and the controller reach it by this name, such as relay.example.com."
              required
              {...form.getInputProps("fqdn")}
            />
            <NumberInput label="TCP port" min={1} max={65535} {...form.getInputProps("port")} />
          </>
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

function Progress({ issued }: { issued: Issued }) {
  const now = useNow();
  const reached = useRef({ step: -1, at: Date.now() });
  const { data: relay, error } = useQuery({ ...relayQuery(issued.id), refetchInterval: 2_000 });
  if (error) return <ProblemAlert error={error} />;
  if (!relay) return null;
  const steps = relaySteps(relay, now - reached.current.at);
  const step = steps.findIndex(({ state }) => state === "waiting");
  if (step !== reached.current.step) reached.current = { step, at: now };
  return <LiveSteps steps={steps} />;
}
