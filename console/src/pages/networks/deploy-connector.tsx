import { Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useRef } from "react";
import { api, call } from "~/api/client";
import { useMay } from "~/api/session";
import { ProblemAlert } from "~/components/problem-alert";
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
import { EnrolDrawer, type Issued } from "./enrol-drawer";
import { LiveSteps } from "./enrolment";
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

/** From a name to a connector that has proved itself: token on click, one command, live steps. */
export function DeployConnector({ opened, onClose, network, connector }: DeployProps) {
  return (
    <EnrolDrawer
      opened={opened}
      onClose={onClose}
      title={connector ? `Enrol ${connector.name} anew` : `Deploy a connector in ${network.name}`}
      initialValues={{ name: "" }}
      fields={(form) =>
        connector ? (
          <Text size="sm">
            A new token makes an unused earlier one void. The connector keeps working with its present key until the new
            token is used; then the old key counts nowhere any more.
          </Text>
        ) : (
          <TextInput
            label="Name"
            description="Such as the host's name."
            required
            data-autofocus
            {...form.getInputProps("name")}
          />
        )
      }
      create={async ({ name }, key): Promise<Issued> => {
        const made = await createConnector({ network: network.id, name }, key);
        return { ...made, token: made.enrolment_token, expires_at: made.enrolment_expires_at };
      }}
      renew={async ({ id, name }, key) => {
        const made = await newConnectorToken(id, key);
        return { id, name, token: made.enrolment_token, expires_at: made.expires_at };
      }}
      known={connector}
      list="connectors"
      noun="the connector"
      where={() => `On a host in ${network.name} that reaches the resources; outbound connections are enough:`}
      ways={({ name, token }) => waysOf("connector", name, token)}
      progress={(issued) => <Progress issued={issued} network={network.id} before={connector} />}
    />
  );
}

function Progress({ issued, network, before }: { issued: Issued; network: string; before?: Connector }) {
  const may = useMay();
  const now = useNow();
  const { data: connector, error } = useQuery({ ...connectorQuery(issued.id), refetchInterval: POLL_MS });
  const { data: relays } = useQuery({
    ...relaysOfAll,
    enabled: may("relays:read"),
    refetchInterval: POLL_MS * 2,
  });
  const { data: served } = useQuery({
    ...servedQuery(issued.id, 20),
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
