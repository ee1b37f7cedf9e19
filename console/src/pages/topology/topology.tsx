import { Alert, Button, Group, SegmentedControl, Select, Text } from "@mantine/core";
import { IconHistory, IconTopologyStar3 } from "@tabler/icons-react";
import { lazy, Suspense, useCallback, useMemo } from "react";
import { useMay } from "~/api/session";
import { EmptyState } from "~/components/empty-state";
import { ButtonLink, PageLink } from "~/components/links";
import { Page } from "~/components/page";
import { type Column, Rows } from "~/components/paged-table";
import { ProblemAlert } from "~/components/problem-alert";
import { useFilters } from "~/components/search";
import { Status } from "~/components/status";
import { KIND_WORDS } from "~/pages/policy/names";
import { PagePending } from "~/shell/fallbacks";
import { AnswerThen } from "./answer-then";
import { focusOn, type Graph, graphOf, type Thing, withoutCrowd } from "./graph";
import { type Log, useLog } from "./log";
import { pastMoment, USUAL } from "./moments";
import { type Logged, pastOf } from "./past";
import { useTopology } from "./queries";
import { TimeSlider } from "./time-slider";

const Picture = lazy(() => import("./picture"));
/** More people than these are shown only when one of them, or of their groups, is in focus. */
const CROWD = 40;
/** More things than these make no picture that anybody can read. */
const DRAWN = 300;

/** The way from people to relays, as a picture or, with the same content, as a table. */
export default function TopologyPage() {
  const [filters, setFilters] = useFilters();
  const { focus } = filters;
  const { graph, moment, pending, lost, error } = useShown(filters);
  const focused = graph.things.find(({ id }) => id === focus);
  const shown = useMemo(() => (focused ? focusOn(graph, focused.id) : withoutCrowd(graph, CROWD)), [graph, focused]);
  const choose = useCallback((id: string | null) => setFilters({ focus: id }), [setFilters]);
  const table = filters.view === "table" || shown.things.length > DRAWN;
  const at = moment.at_ms === undefined ? undefined : new Date(moment.at_ms).toISOString();
  return (
    <Page
      title="Topology"
      subtitle="Person → group → grant → resource → network → connector → relay, now or at any time before."
      actions={moment.allowed && <MomentToggle opened={moment.opened} change={setFilters} />}
    >
      <Choices graph={graph} focused={focused} table={table} choose={choose} change={setFilters} />
      <MomentPanel moment={moment} filters={filters} change={setFilters} />
      <ProblemAlert error={error} />
      {focused && at && <AnswerThen thing={focused} at={at} />}
      {focus && !focused && !pending && !lost && (
        <Alert color="orange" variant="light" title={at ? "It was not there" : "It is not there"}>
          {focus} {at ? "was not there at that moment." : "is gone, or not yours to see."}
        </Alert>
      )}
      {shown.things.length > DRAWN && (
        <Alert color="gate" variant="light" title="Too much for a picture">
          Put one thing into focus to see what leads to it, and where it leads.
        </Alert>
      )}
      {!lost && <Shown pending={pending} graph={shown} table={table} focus={focused?.id} choose={choose} at={at} />}
    </Page>
  );
}

interface Moment {
  /** The reader may read the audit trail. */
  allowed: boolean;
  opened: boolean;
  /** Undefined: now. */
  at_ms: number | undefined;
  log: Log;
  last: Logged | undefined;
}

/** What there is now, or was at the moment of the URL. */
function useShown({ at, span }: Record<string, string | undefined>) {
  const allowed = useMay()("audit:read");
  const opened = allowed && (at !== undefined || span !== undefined);
  const log = useLog(opened);
  const now = useTopology();
  const pending = now.pending || (opened && log.pending && !log.error);
  // Without the log nothing is drawn: what is there now would be taken for what was there.
  const lost = opened && at !== undefined && log.error !== null;
  const usable = opened && !log.pending && !log.error && log.whole;
  const at_ms = usable ? pastMoment(at, log.until_ms) : undefined;
  const past = useMemo(
    () => (at_ms === undefined ? undefined : pastOf(log.events, at_ms, now.world)),
    [log.events, at_ms, now.world],
  );
  const graph = useMemo(() => past?.graph ?? (lost ? NO_GRAPH : graphOf(now.world)), [past, lost, now.world]);
  const moment: Moment = { allowed, opened, at_ms, log, last: past?.last };
  return { graph, moment, pending, lost, error: now.error ?? (opened ? log.error : null) };
}

const NO_GRAPH: Graph = { things: [], ties: [] };

type Change = (filters: Record<string, string | null>) => void;

function MomentToggle({ opened, change }: { opened: boolean; change: Change }) {
  return (
    <Button
      variant="default"
      leftSection={<IconHistory size={16} />}
      aria-expanded={opened}
      onClick={() => change(opened ? { at: null, span: null } : { span: USUAL })}
    >
      {opened ? "Back to now" : "Go back in time"}
    </Button>
  );
}

interface MomentPanelProps {
  moment: Moment;
  filters: Record<string, string | undefined>;
  change: Change;
}

function MomentPanel({ moment, filters: { at, span }, change }: MomentPanelProps) {
  const { allowed, opened, log, at_ms, last } = moment;
  if (!allowed && at) {
    return (
      <Alert color="orange" variant="light" title="This is as it is now">
        What was there before is in the audit trail, which you may not read.
      </Alert>
    );
  }
  if (!opened || log.pending || log.error) return null;
  if (log.whole) return <TimeSlider log={log} at_ms={at_ms} span={span} last={last} change={change} />;
  return (
    <Alert color="orange" variant="light" title="The log is too long to be drawn, this is as it is now">
      The <PageLink to="/access">access explorer</PageLink> answers about one person or resource at any moment.
    </Alert>
  );
}

interface ChoicesProps {
  graph: Graph;
  focused: Thing | undefined;
  table: boolean;
  choose: (id: string | null) => void;
  change: Change;
}

function Choices({ graph, focused, table, choose, change }: ChoicesProps) {
  return (
    <Group align="flex-end">
      <Select
        label="Focus"
        placeholder="Everything"
        searchable
        clearable
        clearButtonProps={{ "aria-label": "Show everything" }}
        limit={50}
        data={graph.things.map(({ id, kind, label }) => ({ value: id, label: `${label} · ${wordOf(kind)}` }))}
        value={focused?.id ?? null}
        onChange={choose}
      />
      <SegmentedControl
        aria-label="How it is shown"
        data={[
          { value: "picture", label: "Picture" },
          { value: "table", label: "Table" },
        ]}
        value={table ? "table" : "picture"}
        onChange={(next) => change({ view: next === "table" ? "table" : null })}
      />
      {focused && (
        <>
          <ButtonLink variant="default" to={focused.to} {...(focused.search && { search: focused.search })}>
            Open {focused.label}
          </ButtonLink>
          <Button variant="subtle" onClick={() => choose(null)}>
            Show everything
          </Button>
        </>
      )}
    </Group>
  );
}

interface ShownProps {
  pending: boolean;
  graph: Graph;
  table: boolean;
  focus: string | undefined;
  choose: (id: string) => void;
  at: string | undefined;
}

function Shown({ pending, graph, table, focus, choose, at }: ShownProps) {
  if (pending) return <PagePending />;
  if (graph.things.length === 0 && at !== undefined) return <Text>Nothing was there yet.</Text>;
  if (graph.ties.length === 0 && focus === undefined && at === undefined) {
    return (
      <EmptyState
        icon={IconTopologyStar3}
        action={<ButtonLink to="/resources">Add a resource</ButtonLink>}
        command="ostiary admin resource create wiki --network office --address wiki.corp.internal --tcp 443"
      >
        Nothing leads anywhere yet: add a network with a connector, a resource in it, and a grant on it.
      </EmptyState>
    );
  }
  if (table) return <TieTable graph={graph} />;
  return (
    <Suspense fallback={<PagePending />}>
      <Picture graph={graph} focus={focus} choose={choose} at={at} />
    </Suspense>
  );
}

interface TieRow {
  key: string;
  from: Thing;
  word: string;
  to: Thing | undefined;
  ofNow: boolean;
}

const COLUMNS: Column<TieRow>[] = [
  { label: "From", cell: ({ from }) => <ThingCell thing={from} /> },
  {
    label: "Tie",
    cell: ({ word, ofNow }) => (
      <Text component="span" inherit {...(ofNow && { c: "dimmed" })}>
        {word}
      </Text>
    ),
  },
  { label: "To", cell: ({ to }) => (to ? <ThingCell thing={to} /> : "–") },
];

function TieTable({ graph }: { graph: Graph }) {
  const rows = useMemo(() => rowsOf(graph), [graph]);
  return <Rows label="Topology" items={rows} columns={COLUMNS} keyOf={({ key }) => key} />;
}

/** A row for each tie, and one for each thing that has none. */
function rowsOf({ things, ties }: Graph): TieRow[] {
  const byId = new Map(things.map((thing) => [thing.id, thing]));
  const tied = new Set(ties.flatMap(({ from, to }) => [from, to]));
  const rows = ties.flatMap(({ from, word, to, ofNow = false }): TieRow[] => {
    const [start, end] = [byId.get(from), byId.get(to)];
    return start && end ? [{ key: `${from} ${to}`, from: start, word, to: end, ofNow }] : [];
  });
  const alone = things.filter(({ id }) => !tied.has(id));
  const word = "is tied to nothing";
  return [...rows, ...alone.map((from) => ({ key: from.id, from, word, to: undefined, ofNow: false }))];
}

const wordOf = (kind: Thing["kind"]) => (kind === "grant" ? "Grant" : KIND_WORDS[kind]);

function ThingCell({ thing: { kind, label, to, search, state, ofNow } }: { thing: Thing }) {
  return (
    <>
      {wordOf(kind)}{" "}
      <PageLink to={to} {...(search && { search })}>
        {label}
      </PageLink>{" "}
      {state && (
        <Text component="span" inherit {...(ofNow && { c: "dimmed" })}>
          <Status {...state} />
        </Text>
      )}
    </>
  );
}
