import { Alert, Card, Group, Progress, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import { IconShieldCheck } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { api, call, type Schemas } from "~/api/client";
import { useMe } from "~/api/session";
import { CommandBlock } from "~/components/copy";
import { ButtonLink, PageLink } from "~/components/links";
import { Page } from "~/components/page";
import { type Column, Rows } from "~/components/paged-table";
import { ProblemAlert } from "~/components/problem-alert";
import { Status } from "~/components/status";
import { Time } from "~/components/time";
import { Named, reasonText } from "~/pages/activity/columns";
import { RECORDS_POLL_MS } from "~/pages/activity/queries";
import { PagePending } from "~/shell/fallbacks";
import { STEPS, stepsDone } from "./steps";
import { HOUR_MS, Timeline } from "./timeline";

const HOURS = 48;
/** Counts of connections change without an event. */
const SUMMARY_POLL_MS = 20_000;
type Summary = Schemas["Summary"];

export default function HomePage() {
  const me = useMe();
  // Rounded to the hour, so that the key stays the same for one.
  const [from_ms] = useState(() => (Math.floor(Date.now() / HOUR_MS) - HOURS + 1) * HOUR_MS);
  const since = new Date(from_ms).toISOString();
  const { data, error, refetch } = useQuery({
    queryKey: ["summary", since],
    queryFn: () => call(api.GET("/api/v1/summary", { params: { query: { since, bucket: "hour" } } })),
    // Whoever waits for the first connection looks here for it.
    refetchInterval: ({ state }) => (state.data?.first_connection?.done === false ? RECORDS_POLL_MS : SUMMARY_POLL_MS),
  });
  return (
    <Page title="Home" subtitle={<span className="isolated">Signed in as {me.name ?? me.email ?? me.id}</span>}>
      <ProblemAlert error={error} retry={refetch} />
      {!data && !error && <PagePending />}
      {data && (
        <Stack gap="lg">
          {data.first_connection && !data.first_connection.done && (
            <NextStep next={data.first_connection.next ?? null} />
          )}
          <Tiles summary={data} />
          <Card withBorder padding="lg">
            <Title order={2} size="h4" mb="sm">
              Connections, last {HOURS} hours
            </Title>
            <Timeline buckets={data.connections} from_ms={from_ms} hours={HOURS} />
            {data.truncated && <Text size="sm">There were more than are counted: the oldest are left out.</Text>}
          </Card>
          <Card withBorder padding="lg">
            <Group justify="space-between" mb="sm">
              <Title order={2} size="h4">
                Denied lately
              </Title>
              <PageLink to="/connections" search={{ denied: "true" }}>
                All of them
              </PageLink>
            </Group>
            <Denials denials={data.denials} />
          </Card>
        </Stack>
      )}
    </Page>
  );
}

/** Until the whole path has worked once: the first thing that is missing, and how to get it. */
function NextStep({ next }: { next: Schemas["FirstConnection"]["next"] }) {
  if (!next) return null;
  const { label, text, action, to, command } = STEPS[next];
  const done = stepsDone(next);
  const total = Object.keys(STEPS).length;
  const [path = to, query] = to.split("?");
  return (
    <Card withBorder padding="lg">
      <Stack gap="sm">
        <Group justify="space-between">
          <Title order={2} size="h4">
            Next: {label.toLowerCase()}
          </Title>
          <Text size="sm" c="dimmed">
            {done} of {total} steps to the first connection
          </Text>
        </Group>
        <Progress value={(done / total) * 100} aria-label="Steps to the first connection" />
        <Text>{text}</Text>
        <Group align="stretch">
          <ButtonLink to={path} search={query ? { create: "1" } : undefined}>
            {action}
          </ButtonLink>
          <CommandBlock command={command} />
        </Group>
      </Stack>
    </Card>
  );
}

function Tiles({ summary }: { summary: Summary }) {
  const requests = summary.open_access_requests;
  return (
    <SimpleGrid cols={{ base: 2, sm: 3, lg: 4 }}>
      <Health label="Networks" to="/networks" count={summary.networks} good="with a connector" />
      <Health label="Connectors" to="/connectors" count={summary.connectors} good="online" />
      <Health label="Relays" to="/relays" count={summary.relays} good="connected" />
      <Tile label="Devices" to="/devices" figure={summary.devices?.total}>
        {summary.devices && <Text size="sm">{summary.devices.healthy} online</Text>}
      </Tile>
      <Tile label="Users" to="/users" figure={summary.users?.total}>
        {summary.users && <Text size="sm">{summary.users.total - summary.users.healthy} disabled</Text>}
      </Tile>
      <Tile label="Access requests" to="/access-requests" figure={requests}>
        {requests != null && <Text size="sm">{requests === 0 ? "none waits" : "to be answered"}</Text>}
      </Tile>
      <Tile label="Open connections" to="/connections" search={{ open: "true" }} figure={summary.open_connections}>
        <Text size="sm">at this moment</Text>
      </Tile>
    </SimpleGrid>
  );
}

interface TileProps {
  label: string;
  to: string;
  search?: Record<string, unknown>;
  /** Null and undefined: not to be seen by this person; the tile stays away. */
  figure: number | null | undefined;
  children?: ReactNode;
}

function Tile({ label, to, search, figure, children }: TileProps) {
  if (figure == null) return null;
  return (
    <Card withBorder padding="md">
      <Stack gap={4}>
        <PageLink to={to} search={search} size="sm">
          {label}
        </PageLink>
        <Text fz={28} fw={650} lh={1.1}>
          {figure.toLocaleString("en")}
        </Text>
        {children}
      </Stack>
    </Card>
  );
}

interface HealthProps {
  label: string;
  to: string;
  count: Schemas["SummaryCount"] | null | undefined;
  good: string;
}

function Health({ label, to, count, good }: HealthProps) {
  if (!count) return null;
  const { total, healthy } = count;
  const kind = total === 0 ? "waiting" : healthy === total ? "good" : healthy === 0 ? "bad" : "warning";
  return (
    <Tile label={label} to={to} figure={total}>
      <Text size="sm" component="div">
        <Status
          kind={kind}
          label={total === 0 ? "none yet" : healthy === total ? `all ${good}` : `${healthy} ${good}`}
        />
      </Text>
    </Tile>
  );
}

function Denials({ denials }: { denials: Schemas["Connection"][] }) {
  const columns: Column<Schemas["Connection"]>[] = [
    { label: "When", cell: ({ started_at }) => <Time at={started_at} />, width: 120 },
    { label: "Who", cell: ({ user }) => <Named id={user} />, wide: true },
    {
      label: "What",
      cell: ({ host, port, transport }) => (
        <span className="isolated">{`${host}${port ? `:${port}` : ""} ${transport}`}</span>
      ),
    },
    { label: "Why", cell: ({ outcome }) => (outcome ? reasonText(outcome) : "–") },
  ];
  if (denials.length === 0) {
    return (
      <Alert variant="light" color="teal" icon={<IconShieldCheck />}>
        Nothing was denied.
      </Alert>
    );
  }
  return <Rows label="Denied lately" items={denials} columns={columns} keyOf={({ id }) => String(id)} />;
}
