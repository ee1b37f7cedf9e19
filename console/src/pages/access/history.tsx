import { Alert, Box, Group, Select, Slider, Stack, Text, Title } from "@mantine/core";
import { useState } from "react";
import { type Column, Rows } from "~/components/paged-table";
import { ProblemAlert } from "~/components/problem-alert";
import { absolute, Time } from "~/components/time";
import { EventLink } from "~/pages/policy/events";
import { PagePending } from "~/shell/fallbacks";
import type { AccessSpan, History } from "./queries";
import { useHistory } from "./queries";
import { barsByDevice } from "./spans";
import { Verdict } from "./verdict";

interface HistoryPanelProps {
  user: string;
  resource: string;
  device: string | undefined;
  since: string | undefined;
  until: string | undefined;
  at: string | undefined;
  change: (filters: Record<string, string | null>) => void;
}

const DAY_MS = 86_400_000;
const LENGTHS: Record<string, number> = { "1 day": 1, "7 days": 7, "30 days": 30, "90 days": 90, "1 year": 365 };

/** When somebody could, and could not, with a slider that asks about any moment of it. */
export function HistoryPanel({ user, resource, device, since, until, at, change }: HistoryPanelProps) {
  const history = useHistory(user, resource, since, until);
  const pick = (label: string | null) => {
    const days = LENGTHS[label ?? ""];
    change({ since: days ? new Date(Date.now() - days * DAY_MS).toISOString() : null, until: null });
  };
  return (
    <Stack gap="sm">
      <Group justify="space-between" align="flex-end">
        <Title order={2} size="h4">
          History
        </Title>
        <Select
          label="The last"
          placeholder="30 days"
          data={Object.keys(LENGTHS)}
          value={lengthOf(since)}
          onChange={pick}
          w={140}
        />
      </Group>
      <ProblemAlert error={history.error} retry={() => history.refetch()} />
      {history.isPending && <PagePending />}
      {history.data && <Stretches history={history.data} device={device} at={at} change={change} />}
    </Stack>
  );
}

function lengthOf(since: string | undefined): string | null {
  if (!since) return null;
  const days = Math.round((Date.now() - new Date(since).getTime()) / DAY_MS);
  return Object.entries(LENGTHS).find(([, length]) => length === days)?.[0] ?? null;
}

interface StretchesProps {
  history: History;
  device: string | undefined;
  at: string | undefined;
  change: HistoryPanelProps["change"];
}

function Stretches({ history, device, at, change }: StretchesProps) {
  const since = new Date(history.since).getTime();
  const until = new Date(history.until).getTime();
  const spans = history.items.filter((span) => device === undefined || span.device === device);
  return (
    <>
      {!history.complete && (
        <Alert color="orange" variant="light" title="The log is too long for one answer">
          What is before <Time at={history.since} both /> was not searched.
        </Alert>
      )}
      <TimeSlider since={since} until={until} at={at} change={change}>
        {barsByDevice(spans, since, until).map(([id, bars]) => (
          <Box
            key={id}
            aria-hidden
            pos="relative"
            h={14}
            mb={6}
            bg="var(--mantine-color-default-hover)"
            style={{ borderRadius: 4 }}
          >
            {bars.map(({ span, left, width }) => (
              <Box
                key={`${span.since} ${span.verdict}`}
                pos="absolute"
                h="100%"
                style={{
                  left: `${left}%`,
                  width: `${width}%`,
                  minWidth: 2,
                  borderRadius: 4,
                  background: FILLS[span.verdict],
                }}
              />
            ))}
          </Box>
        ))}
      </TimeSlider>
      {spans.length === 0 ? (
        <Text size="sm">Never in this time.</Text>
      ) : (
        <Rows label="History" items={spans} columns={COLUMNS} keyOf={keyOf} height="45vh" />
      )}
    </>
  );
}

/** Full, striped, hatched thin: told apart without colour. */
const FILLS = {
  permitted: "var(--mantine-color-teal-8)",
  conditional: "repeating-linear-gradient(45deg, var(--mantine-color-orange-8) 0 6px, transparent 6px 10px)",
  denied: "repeating-linear-gradient(90deg, var(--mantine-color-red-8) 0 2px, transparent 2px 6px)",
} as const;

interface TimeSliderProps {
  since: number;
  until: number;
  at: string | undefined;
  change: HistoryPanelProps["change"];
  children: React.ReactNode;
}

function TimeSlider({ since, until, at, change, children }: TimeSliderProps) {
  const chosen = at ? new Date(at).getTime() : until;
  const [dragged, setDragged] = useState<number | null>(null);
  return (
    <Box px="xs">
      {children}
      <Slider
        min={since}
        max={until}
        step={Math.max(1_000, Math.round((until - since) / 1000))}
        label={(value) => absolute(value)}
        thumbLabel="Moment that is asked about"
        value={dragged ?? Math.min(Math.max(chosen, since), until)}
        onChange={setDragged}
        onChangeEnd={(value) => {
          setDragged(null);
          change({ at: value >= until ? null : new Date(value).toISOString() });
        }}
      />
      <Group justify="space-between" mt={4}>
        <Text size="xs" c="dimmed">
          {absolute(since)}
        </Text>
        <Text size="xs" c="dimmed">
          {absolute(until)}
        </Text>
      </Group>
    </Box>
  );
}

const keyOf = (span: AccessSpan) => `${span.device} ${span.since} ${span.until}`;

const COLUMNS: Column<AccessSpan>[] = [
  { label: "Device", cell: ({ device, device_name }) => <span className="isolated">{device_name ?? device}</span> },
  { label: "Answer", cell: (span) => <Verdict verdict={span.verdict} reason={span.reason} /> },
  {
    label: "From",
    cell: ({ since, opened_by, since_event }) => (
      <Edge at={since} open="before" event={since_event} type={opened_by?.type} />
    ),
  },
  {
    label: "To",
    cell: ({ until, closed_by, until_event }) => (
      <Edge at={until} open="still" event={until_event} type={closed_by?.type} />
    ),
  },
];

interface EdgeProps {
  at: string | null;
  open: string;
  event: number | null;
  type: string | undefined;
}

function Edge({ at, open, event, type }: EdgeProps) {
  if (at === null) return <>{open}</>;
  return (
    <>
      <Time at={at} />
      {event !== null && (
        <>
          {" by "}
          <EventLink position={event}>
            {type ?? "event"} #{event}
          </EventLink>
        </>
      )}
    </>
  );
}
