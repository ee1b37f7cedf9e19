import { Button, Drawer, Group, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { api, call, idempotencyKey } from "~/api/client";
import { queryClient } from "~/api/queries";
import { useMay } from "~/api/session";
import { ButtonLink } from "~/components/links";
import { ProblemAlert, placeProblem } from "~/components/problem-alert";
import { useNow } from "~/components/time";
import {
  type Connector,
  connectorQuery,
  createConnector,
  newConnectorToken,
  servedQuery,
} from "~/pages/connectors/queries";
import { relaysOfAll } from "~/pages/relays/queries";
import { waysOf } from "./commands";
import { LiveSteps, TokenCommands } from "./enrolment";
import type { Network } from "./queries";
import { type Step, stepsOf } from "./steps";

/** While the drawer is open and waits; presence comes by the stream as well. */
const POLL_MS = 2_000;

interface DeployProps {
  opened: boolean;
  onClose: () => void;
  network: Pick<Network, "id" | "name">;
  /** Enrols this one anew; without it a connector is made. */
  connector?: Connector;
}

interface Issued {
  connector: string;
  name: string;
  token: string;
  expires_at: string;
}

/** From a name to a connector that has proved itself: token on click, one command, live steps. */
export function DeployConnector(props: DeployProps) {
  const { opened, onClose, network, connector } = props;
  return (
    <Drawer
      opened={opened}
      onClose={onClose}
      title={connector ? `Enrol ${connector.name} anew` : `Deploy a connector in ${network.name}`}
      closeButtonProps={{ "aria-label": "Close" }}
    >
      {opened && <Deploy {...props} />}
    </Drawer>
  );
}

function Deploy({ network, connector, onClose }: DeployProps) {
  const [issued, setIssued] = useState<Issued | null>(null);
  const key = useRef(idempotencyKey());
  const form = useForm({ initialValues: { name: "" } });
  const making = useMutation({
    mutationFn: async (known: { id: string; name: string } | null): Promise<Issued> => {
      if (known) {
        const made = await newConnectorToken(known.id, key.current);
        return { connector: known.id, name: known.name, token: made.enrolment_token, expires_at: made.expires_at };
      }
      const made = await createConnector({ network: network.id, name: form.values.name }, key.current);
      return {
        connector: made.id,
        name: made.name,
        token: made.enrolment_token,
        expires_at: made.enrolment_expires_at,
      };
    },
    onError: (error) => placeProblem(form, error),
    onSuccess: async (made) => {
      key.current = idempotencyKey();
      setIssued(made);
      await queryClient.invalidateQueries({ queryKey: ["connectors"] });
    },
  });
  if (!issued) {
    return (
      <form
        noValidate
        onSubmit={form.onSubmit(() => making.mutate(connector ? { id: connector.id, name: connector.name } : null))}
      >
        <Stack>
          {connector ? (
            <Text size="sm">
              A new token makes an unused earlier one void. The connector keeps working with its present key until the
              new token is used; then the old key counts nowhere any more.
            </Text>
          ) : (
            <TextInput
              label="Name"
              description="Such as the host's name."
              required
              data-autofocus
              {...form.getInputProps("name")}
            />
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
  return (
    <Stack>
      <Text size="sm">On a host in {network.name} that reaches the resources; outbound connections are enough:</Text>
      <TokenCommands
        ways={waysOf("connector", issued.name, issued.token)}
        expires_at={issued.expires_at}
        again={() => making.mutate({ id: issued.connector, name: issued.name })}
      />
      <ProblemAlert error={making.error} />
      <Progress issued={issued} network={network.id} before={connector} />
      <Group justify="flex-end">
        <ButtonLink to={`/connectors/${issued.connector}`} variant="default">
          Open the connector
        </ButtonLink>
        <Button onClick={onClose}>Done</Button>
      </Group>
    </Stack>
  );
}

function Progress({ issued, network, before }: { issued: Issued; network: string; before?: Connector }) {
  const may = useMay();
  const now = useNow();
  const { data: connector, error } = useQuery({ ...connectorQuery(issued.connector), refetchInterval: POLL_MS });
  const { data: relays } = useQuery({
    ...relaysOfAll,
    enabled: may("relays:read"),
    refetchInterval: POLL_MS * 2,
  });
  const { data: served } = useQuery({
    ...servedQuery(issued.connector, 20),
    enabled: may("connections:read") && connector?.online === true,
    refetchInterval: POLL_MS,
  });
  const { data: resources } = useQuery({
    queryKey: ["resources", { network, limit: 1 }],
    enabled: may("resources:read"),
    queryFn: () => call(api.GET("/api/v1/resources", { params: { query: { network, limit: 1 } } })),
  });
  const reached = useRef({ step: -1, at: Date.now() });
  if (error) return <ProblemAlert error={error} />;
  if (!connector) return null;
  // A connector that was enrolled before has used the new token only when it shows another key.
  const renewed = before === undefined || !before.enrolled || connector.pin !== before.pin;
  const steps: Step[] = stepsOf({
    connector: renewed ? connector : { ...connector, enrolled: false },
    relays: relays ?? null,
    resources: resources?.items.length ?? 1,
    served_at: served?.items.find(({ outcome, open }) => open || outcome === "normal")?.started_at ?? null,
    token_expires_at: issued.expires_at,
    waited_ms: now - reached.current.at,
    now_ms: now,
    controller: window.location.host,
  });
  const step = steps.findIndex(({ state }) => state === "waiting");
  if (step !== reached.current.step) reached.current = { step, at: now };
  return <LiveSteps steps={steps} />;
}
