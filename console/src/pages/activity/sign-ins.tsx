import { SegmentedControl } from "@mantine/core";
import { IconLogin } from "@tabler/icons-react";
import { EmptyState } from "~/components/empty-state";
import { PageLink } from "~/components/links";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { useFilters } from "~/components/search";
import { Status } from "~/components/status";
import { Time } from "~/components/time";
import { Named, pathOf, reasonText } from "./columns";
import { ExportMenu } from "./export-menu";
import { type Event, useEvents } from "./queries";

/** The audit trail tells sign-ins by these types. */
const KINDS = [
  { value: "session.", label: "Devices" },
  { value: "sign_in.", label: "Console and API" },
  { value: "sign_in.failed", label: "Failed" },
];

const TOLD = ["surface", "method", "cause", "count", "second_factor_for"];

/** Whom an event of a sign-in is about: the person where it names one. */
function Who({ event: { data, stream, names } }: { event: Event }) {
  const id = typeof data.user === "string" ? data.user : stream;
  if (id.startsWith("usr_")) return <PageLink to={`/users/${id}`}>{names[id] ?? id}</PageLink>;
  return id.includes("_") && pathOf(id) ? <Named id={id} /> : "–";
}

export default function SignInsPage() {
  const [filters, setFilters] = useFilters();
  const type = KINDS.find(({ value }) => value === filters.type)?.value ?? "sign_in.";
  const events = useEvents({ ...filters, type });
  const columns: Column<Event>[] = [
    { label: "When", cell: ({ at }) => <Time at={at} /> },
    {
      label: "What",
      cell: ({ type }) => {
        const words = type
          .replace(/\/\d+$/, "")
          .replace(".", " ")
          .replaceAll("_", " ");
        return <Status kind={type.includes("failed") ? "bad" : "good"} label={words} />;
      },
    },
    { label: "Who", cell: (event) => <Who event={event} /> },
    { label: "By", cell: ({ actor, names }) => names[actor] ?? <Named id={actor} />, wide: true },
    {
      label: "How",
      cell: ({ data }) =>
        TOLD.filter((name) => data[name])
          .map((name) => `${name.replaceAll("_", " ")} ${reasonText(String(data[name]))}`)
          .join(" · ") || "–",
      wide: true,
    },
  ];
  return (
    <Page
      title="Sign-ins"
      subtitle="Who signed in where, and who failed."
      actions={<ExportMenu kind="events" filters={{ ...filters, type }} />}
    >
      <SegmentedControl
        aria-label="Which"
        value={type}
        onChange={(value) => setFilters({ type: value })}
        data={KINDS}
        style={{ alignSelf: "flex-start" }}
      />
      <PagedTable
        label="Sign-ins"
        query={events}
        columns={columns}
        keyOf={({ position }) => String(position)}
        empty={
          <EmptyState icon={IconLogin} command="ostiary admin event list --type sign_in.">
            Nobody has signed in this way yet.
          </EmptyState>
        }
      />
    </Page>
  );
}
