import { Stack, Text, Title } from "@mantine/core";
import type { Schemas } from "~/api/client";
import { PageLink } from "~/components/links";
import { type Column, Rows } from "~/components/paged-table";
import { Status } from "~/components/status";
import { Time } from "~/components/time";
import { portsText } from "~/components/words";
import { pathOf } from "~/pages/policy/directory";

type Change = Schemas["PlannedChange"];
type Access = Schemas["PlannedAccess"];
type Cut = Schemas["PlannedCut"];

const ACTIONS = {
  create: { kind: "good", label: "new" },
  change: { kind: "warning", label: "changed" },
  remove: { kind: "bad", label: "removed" },
} as const;

const CHANGES: Column<Change>[] = [
  { label: "Action", cell: ({ action }) => <Status {...ACTIONS[action]} /> },
  { label: "Kind", cell: ({ kind }) => kind.replaceAll("_", " ") },
  { label: "Name", cell: ({ name }) => <span className="isolated">{name}</span> },
  { label: "Detail", cell: ({ detail }) => <span className="isolated">{detail}</span> },
  { label: "Line", cell: ({ line }) => line ?? "–", wide: true },
];

const isNothing = (ports: Schemas["Ports"]) => portsText(ports) === "nothing";

const ACCESS: Column<Access>[] = [
  {
    label: "Who",
    cell: ({ subject_kind, subject, subject_name }) => (
      <PageLink to={pathOf(subject_kind, subject)}>{subject_name ?? subject}</PageLink>
    ),
  },
  {
    label: "On",
    cell: ({ device, device_name }) =>
      device ? <PageLink to={pathOf("device", device)}>{device_name ?? device}</PageLink> : "whatever device",
    wide: true,
  },
  {
    label: "Resource",
    cell: ({ resource, resource_name }) => (
      <PageLink to={pathOf("resource", resource)}>{resource_name ?? resource}</PageLink>
    ),
  },
  {
    label: "Difference",
    cell: ({ gained, lost, detail }) => (
      <Stack gap={2}>
        {!isNothing(gained) && <Status kind="good" label={`gains ${portsText(gained)}`} />}
        {!isNothing(lost) && <Status kind="bad" label={`loses ${portsText(lost)}`} />}
        {detail && <Text size="sm">{detail}</Text>}
      </Stack>
    ),
  },
];

const CUTS: Column<Cut>[] = [
  {
    label: "Who",
    cell: ({ subject, subject_name, device_name }) => (
      <>
        <span className="isolated">{subject_name ?? subject}</span>
        {device_name && (
          <>
            {" on "}
            <span className="isolated">{device_name}</span>
          </>
        )}
      </>
    ),
  },
  {
    label: "To",
    cell: ({ host, transport, port, resource_name }) => (
      <span className="isolated">
        {resource_name ? `${resource_name} (${host})` : host} {transport} {port ?? ""}
      </span>
    ),
  },
  { label: "Open since", cell: ({ started_at }) => <Time at={started_at} /> },
  { label: "Because", cell: ({ reason }) => reason },
];

function Section<T>({ title, items, columns, keyOf }: SectionProps<T>) {
  return (
    <Stack gap="xs">
      <Title order={2} size="h4">
        {title}
      </Title>
      {items.length === 0 ? (
        <Text size="sm" c="dimmed">
          Nobody and nothing.
        </Text>
      ) : (
        <Rows label={title} items={items} columns={columns} keyOf={keyOf} height="45vh" />
      )}
    </Stack>
  );
}

interface SectionProps<T> {
  title: string;
  items: T[];
  columns: Column<T>[];
  keyOf: (item: T) => string;
}

export function ChangesTable({ changes }: { changes: Change[] }) {
  const keyOf = ({ action, kind, name, detail }: Change) => `${action} ${kind} ${name} ${detail}`;
  return <Section title="What changes" items={changes} columns={CHANGES} keyOf={keyOf} />;
}

export function AccessTable({ title, lines }: { title: string; lines: Access[] }) {
  const keyOf = ({ subject, device, resource }: Access) => `${subject} ${device ?? ""} ${resource}`;
  return <Section title={title} items={lines} columns={ACCESS} keyOf={keyOf} />;
}

export function CutTable({ cuts }: { cuts: Cut[] }) {
  return <Section title="Live connections that would be cut" items={cuts} columns={CUTS} keyOf={({ flow }) => flow} />;
}
