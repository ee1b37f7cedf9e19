import { Alert, Button, Group, SegmentedControl, Select } from "@mantine/core";
import { IconTopologyStar3 } from "@tabler/icons-react";
import { lazy, Suspense, useCallback, useMemo } from "react";
import { EmptyState } from "~/components/empty-state";
import { ButtonLink, PageLink } from "~/components/links";
import { Page } from "~/components/page";
import { type Column, Rows } from "~/components/paged-table";
import { ProblemAlert } from "~/components/problem-alert";
import { useFilters } from "~/components/search";
import { Status } from "~/components/status";
import { KIND_WORDS } from "~/pages/policy/names";
import { PagePending } from "~/shell/fallbacks";
import { focusOn, type Graph, type Thing, withoutCrowd } from "./graph";
import { useTopology } from "./queries";

const Picture = lazy(() => import("./picture"));
/** More people than these are shown only when one of them, or of their groups, is in focus. */
const CROWD = 40;
/** More things than these make no picture that anybody can read. */
const DRAWN = 300;

/** The way from people to relays, as a picture or, with the same content, as a table. */
export default function TopologyPage() {
  const [filters, setFilters] = useFilters();
  const { graph, pending, error } = useTopology();
  const { focus, view } = filters;
  const focused = graph.things.find(({ id }) => id === focus);
  const shown = useMemo(() => (focused ? focusOn(graph, focused.id) : withoutCrowd(graph, CROWD)), [graph, focused]);
  const choose = useCallback((id: string | null) => setFilters({ focus: id }), [setFilters]);
  const table = view === "table" || shown.things.length > DRAWN;
  return (
    <Page title="Topology" subtitle="Person → group → grant → resource → network → connector → relay, as it is now.">
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
          onChange={(next) => setFilters({ view: next === "table" ? "table" : null })}
        />
        {focused && (
          <>
            <ButtonLink variant="default" to={focused.to}>
              Open {focused.label}
            </ButtonLink>
            <Button variant="subtle" onClick={() => choose(null)}>
              Show everything
            </Button>
          </>
        )}
      </Group>
      <ProblemAlert error={error} />
      {focus && !focused && !pending && (
        <Alert color="orange" variant="light" title="It is not there">
          {focus} is gone, or not yours to see.
        </Alert>
      )}
      {shown.things.length > DRAWN && (
        <Alert color="gate" variant="light" title="Too much for a picture">
          Put one thing into focus to see what leads to it, and where it leads.
        </Alert>
      )}
      <Shown pending={pending} graph={shown} table={table} focus={focused?.id} choose={choose} />
    </Page>
  );
}

interface ShownProps {
  pending: boolean;
  graph: Graph;
  table: boolean;
  focus: string | undefined;
  choose: (id: string) => void;
}

function Shown({ pending, graph, table, focus, choose }: ShownProps) {
  if (pending) return <PagePending />;
  if (graph.ties.length === 0 && focus === undefined) {
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
      <Picture graph={graph} focus={focus} choose={choose} />
    </Suspense>
  );
}

interface TieRow {
  key: string;
  from: Thing;
  word: string;
  to: Thing | undefined;
}

const COLUMNS: Column<TieRow>[] = [
  { label: "From", cell: ({ from }) => <ThingCell thing={from} /> },
  { label: "Tie", cell: ({ word }) => word },
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
  const rows = ties.flatMap(({ from, word, to }): TieRow[] => {
    const [start, end] = [byId.get(from), byId.get(to)];
    return start && end ? [{ key: `${from} ${to}`, from: start, word, to: end }] : [];
  });
  const alone = things.filter(({ id }) => !tied.has(id));
  return [...rows, ...alone.map((from) => ({ key: from.id, from, word: "is tied to nothing", to: undefined }))];
}

const wordOf = (kind: Thing["kind"]) => (kind === "grant" ? "Grant" : KIND_WORDS[kind]);

function ThingCell({ thing: { kind, label, to, state } }: { thing: Thing }) {
  return (
    <>
      {wordOf(kind)} <PageLink to={to}>{label}</PageLink> {state && <Status {...state} />}
    </>
  );
}
