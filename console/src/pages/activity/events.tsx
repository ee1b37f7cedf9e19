import { Alert, Badge, Button, Code, Drawer, Group, Stack, Text } from "@mantine/core";
import { IconHistory, IconShieldCheck, IconX } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { api, call } from "~/api/client";
import { CommandBlock, CopyId } from "~/components/copy";
import { EmptyState } from "~/components/empty-state";
import { PageLink } from "~/components/links";
import { NameFilter } from "~/components/name-filter";
import { Facts, Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { ProblemAlert } from "~/components/problem-alert";
import { useFilters } from "~/components/search";
import { Time } from "~/components/time";
import { UndoButton } from "~/pages/policy/undo";
import { PagePending } from "~/shell/fallbacks";
import { Named } from "./columns";
import { chainFaults, fieldsOf, hasInverse } from "./diff";
import { ExportMenu } from "./export-menu";
import { MomentFilter } from "./moment-filter";
import { type Event, eventQuery, useEvents } from "./queries";

export default function EventsPage() {
  const [filters, setFilters] = useFilters();
  const events = useEvents(filters);
  const set = Object.keys(eventQuery(filters));
  const columns: Column<Event>[] = [
    {
      label: "Position",
      width: 90,
      cell: ({ position }) => (
        <Button
          variant="subtle"
          size="compact-sm"
          aria-label={`Open event ${position}`}
          onClick={() => setFilters({ event: String(position) })}
        >
          #{position}
        </Button>
      ),
    },
    { label: "What", cell: ({ type }) => <Code>{type}</Code> },
    { label: "About", cell: (event) => <Known id={event.stream} event={event} /> },
    { label: "By", cell: (event) => <Known id={event.actor} event={event} /> },
    { label: "When", cell: ({ at }) => <Time at={at} /> },
  ];
  return (
    <Page
      title="Audit"
      subtitle="Every change, in the order in which it came into force."
      actions={<ExportMenu kind="events" filters={filters} />}
    >
      <Group align="flex-end">
        <NameFilter field="type" label="What" placeholder="grant." />
        <NameFilter field="stream" label="About" placeholder="An id" />
        <NameFilter field="actor" label="By" placeholder="usr_… or tok_…" />
        <MomentFilter field="since" label="From" />
        <MomentFilter field="until" label="Until" />
        {set.length > 0 && (
          <Button
            variant="subtle"
            leftSection={<IconX size={16} />}
            onClick={() => setFilters(Object.fromEntries(set.map((name) => [name, null])))}
          >
            Clear
          </Button>
        )}
      </Group>
      <Chain events={events.data?.pages.flatMap((page) => page.items) ?? []} whole={set.length === 0} />
      <PagedTable
        label="Events"
        query={events}
        columns={columns}
        keyOf={({ position }) => String(position)}
        empty={
          <EmptyState icon={IconHistory} command="ostiary admin event list">
            Nothing of this kind has happened yet.
          </EmptyState>
        }
      />
      <EventDrawer position={filters.event} onClose={() => setFilters({ event: null })} />
    </Page>
  );
}

/** What can be seen here of the chain, and how the whole of it is verified. */
function Chain({ events, whole }: { events: Event[]; whole: boolean }) {
  if (events.length === 0) return null;
  const faults = whole ? chainFaults(events) : [];
  if (faults.length > 0) {
    return (
      <Alert color="red" variant="light" title="Positions are missing">
        The log has no gaps, and this list has: after {faults.map((position) => `#${position}`).join(", ")}. Verify the
        log on the controller's host: ostiary-controller events verify
      </Alert>
    );
  }
  const [newest] = events;
  return (
    <Group gap="xs" wrap="nowrap">
      <IconShieldCheck size={18} aria-hidden style={{ flexShrink: 0 }} />
      <Text size="sm">
        Each event's hash covers the one before. The controller verifies its log by itself, and connectors witness its
        head; verify it yourself with <Code>ostiary-controller events verify</Code>
      </Text>
      {newest && <Badge variant="default" tt="none">{`head ${newest.hash.slice(0, 12)}…`}</Badge>}
    </Group>
  );
}

/** A name that the event itself carries is better than the present one. */
function Known({ id, event }: { id: string; event: Event }) {
  const name = event.names[id];
  if (!name) return id.includes("_") ? <Named id={id} /> : <span>{id}</span>;
  return (
    <Text component="span" inherit className="isolated">
      {name}
    </Text>
  );
}

function EventDrawer({ position, onClose }: { position: string | undefined; onClose: () => void }) {
  return (
    <Drawer
      opened={position !== undefined}
      onClose={onClose}
      title={`Event #${position ?? ""}`}
      closeButtonProps={{ "aria-label": "Close" }}
    >
      {position !== undefined && <EventDetail position={Number(position)} />}
    </Drawer>
  );
}

/** The event of a position, and the one before on the same thing. */
function eventAt(position: number) {
  return {
    queryKey: ["events", "one", position],
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: async () => {
      const event = await call(api.GET("/api/v1/events/{position}", { params: { path: { position } } }));
      const earlier = await call(
        api.GET("/api/v1/events", {
          params: { query: { stream: event.stream, cursor: cursorBefore(position), limit: 200 } },
        }),
      );
      return { event, earlier: earlier.items };
    },
  };
}

/** Pages of the log go down by position: what comes before `position`. */
function cursorBefore(position: number): string {
  return btoa(JSON.stringify([position]))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

function EventDetail({ position }: { position: number }) {
  const { data, error, refetch } = useQuery(eventAt(position));
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!data) return <PagePending />;
  const { event, earlier } = data;
  return (
    <Stack>
      <Facts
        facts={[
          ["What", <Code key="type">{event.type}</Code>],
          ["When", <Time key="at" at={event.at} both />],
          ["By", <Known key="by" id={event.actor} event={event} />],
          ["About", <CopyId key="about" id={event.stream} />],
          ["Request", event.request_id ? <CopyId key="request" id={event.request_id} /> : "none"],
          ["Hash", <Code key="hash">{event.hash}</Code>],
        ]}
      />
      <Text fw={600}>Before and after</Text>
      <Facts
        facts={fieldsOf(event, earlier).map(({ name, before, after, changed }) => [
          name,
          <Stack key={name} gap={0}>
            {before !== null && (
              <Text size="sm" c="dimmed" td={changed ? "line-through" : undefined}>
                <span className="isolated">before: {before}</span>
              </Text>
            )}
            <Text size="sm" fw={changed ? 600 : undefined}>
              <span className="isolated">{before === null ? after : `after: ${after}`}</span>
            </Text>
          </Stack>,
        ])}
      />
      <Group justify="space-between">
        <PageLink to="/events" search={{ stream: event.stream }}>
          All events about it
        </PageLink>
        {hasInverse(event.type) && <UndoButton position={event.position} label="Plan to undo it" />}
      </Group>
      <CommandBlock command={`ostiary admin event list --about ${event.stream}`} />
    </Stack>
  );
}
