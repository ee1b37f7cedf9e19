import { NumberInput, Text, TextInput } from "@mantine/core";
import type { UseFormReturnType } from "@mantine/form";
import { useQuery } from "@tanstack/react-query";
import { useRef } from "react";
import { ProblemAlert } from "~/components/problem-alert";
import { useNow } from "~/components/time";
import { waysOf } from "~/pages/networks/commands";
import { EnrolDrawer, type Issued } from "~/pages/networks/enrol-drawer";
import { LiveSteps } from "~/pages/networks/enrolment";
import { createRelay, newRelayToken, type Relay, relayQuery } from "./queries";
import { relaySteps } from "./steps";

interface AddRelayProps {
  opened: boolean;
  onClose: () => void;
  /** Enrols this one anew. */
  relay?: Relay;
}

interface IssuedRelay extends Issued {
  port: number;
}

/** From a public name to a relay that connectors use. */
export function AddRelay({ opened, onClose, relay }: AddRelayProps) {
  return (
    <EnrolDrawer
      opened={opened}
      onClose={onClose}
      title={relay ? `Enrol ${relay.name} anew` : "Add a relay"}
      initialValues={{ name: "", fqdn: "", port: 8444 }}
      fields={(form) => (relay ? <Anew /> : <Fields form={form} />)}
      create={async (values, key): Promise<IssuedRelay> => {
        const made = await createRelay(values, key);
        return { ...made, token: made.enrolment_token, expires_at: made.enrolment_expires_at };
      }}
      renew={async (known, key) => {
        const made = await newRelayToken(known.id, key);
        return { ...known, token: made.enrolment_token, expires_at: made.expires_at };
      }}
      known={relay}
      list="relays"
      noun="the relay"
      where={({ port }) => `On the host behind that name. It needs one inbound TCP port, ${port}, and dials nobody:`}
      ways={({ name, token, port }) => waysOf("relay", name, token, port)}
      progress={(issued) => <Progress issued={issued} />}
    />
  );
}

function Anew() {
  return (
    <Text size="sm">
      Enrolling again gives the relay a new certificate. A new token makes an unused earlier one void.
    </Text>
  );
}

function Fields({ form }: { form: UseFormReturnType<{ name: string; fqdn: string; port: number }> }) {
  return (
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
