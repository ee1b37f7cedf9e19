import { Badge, Stack, Text } from "@mantine/core";
import { IconDeviceLaptop, IconId, IconKey, IconUsersGroup } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import type { Schemas } from "~/api/client";
import { EmptyState } from "~/components/empty-state";
import { PageLink } from "~/components/links";
import { type Column, PagedTable, Rows } from "~/components/paged-table";
import { ProblemAlert } from "~/components/problem-alert";
import { Status, type StatusKind } from "~/components/status";
import { Time } from "~/components/time";
import { portsText } from "~/components/words";
import { reasonText } from "~/pages/activity/columns";
import { deviceColumns } from "~/pages/devices/columns";
import { useDevices } from "~/pages/devices/queries";
import { PagePending } from "~/shell/fallbacks";
import { groupsOfQuery, identitiesQuery, useAccessOf } from "./queries";

const VERDICTS: Record<Schemas["AccessLine"]["verdict"], StatusKind> = {
  permitted: "good",
  conditional: "warning",
  denied: "bad",
};

/** Each line of the API's answer: which resource, from which device, and the events that made it so. */
export const accessColumns: Column<Schemas["AccessLine"]>[] = [
  {
    label: "Resource",
    cell: ({ resource, resource_name }) => (
      <PageLink to={`/resources/${resource}`}>{resource_name ?? resource}</PageLink>
    ),
  },
  { label: "From", cell: ({ device, device_name }) => <span className="isolated">{device_name ?? device}</span> },
  {
    label: "Verdict",
    cell: ({ verdict, reason }) => (
      <Status kind={VERDICTS[verdict]} label={reason ? `${verdict}: ${reasonText(reason)}` : verdict} />
    ),
  },
  { label: "Ports", cell: ({ ports }) => (ports ? portsText(ports) : "–"), wide: true },
  { label: "Since", cell: ({ since }) => <Time at={since} />, wide: true },
  {
    label: "Because of",
    cell: ({ because }) => (
      <Stack gap={2}>
        {because.map(({ event, type, actor, actor_name }) => (
          <Text key={`${event}/${type}`} size="sm" component="span">
            <PageLink to="/events" search={{ event }}>{`${type} #${event}`}</PageLink> by{" "}
            <span className="isolated">{actor_name ?? actor}</span>
          </Text>
        ))}
      </Stack>
    ),
    wide: true,
  },
];

export function AccessOf({ user }: { user: string }) {
  return (
    <PagedTable
      label="What they reach"
      query={useAccessOf(user)}
      columns={accessColumns}
      keyOf={({ resource, device }) => `${resource}/${device}`}
      empty={
        <EmptyState icon={IconKey} command="ostiary admin grant create --to group:engineers --resource wiki">
          Nothing: access is judged for each device, and there is none, or no grant leads anywhere.
        </EmptyState>
      }
    />
  );
}

export function DevicesOf({ owner }: { owner: string }) {
  return (
    <PagedTable
      label="Devices"
      query={useDevices({ owner })}
      columns={deviceColumns}
      keyOf={({ id }) => id}
      empty={
        <EmptyState icon={IconDeviceLaptop} command={`ostiary up ${window.location.origin}`}>
          No device yet: it is registered by the first sign-in on it.
        </EmptyState>
      }
    />
  );
}

export function GroupsOf({ user }: { user: string }) {
  const { data: groups, error, refetch } = useQuery(groupsOfQuery(user));
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!groups) return <PagePending />;
  if (groups.length === 0) {
    return (
      <EmptyState icon={IconUsersGroup} command="ostiary admin group add-member engineers grace@example.com">
        In no group. Grants to groups are the easiest to look after.
      </EmptyState>
    );
  }
  return (
    <Rows
      label="Groups"
      items={groups}
      columns={[
        { label: "Name", cell: ({ id, name }) => <PageLink to={`/groups/${id}`}>{name}</PageLink> },
        { label: "Members", cell: ({ members }) => members },
      ]}
      keyOf={({ id }) => id}
    />
  );
}

export function IdentitiesOf({ user }: { user: string }) {
  const { data, error, refetch } = useQuery(identitiesQuery(user));
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!data) return <PagePending />;
  if (data.items.length === 0) {
    return (
      <EmptyState
        icon={IconId}
        command="ostiary admin identity-provider link corporate grace@example.com --subject SUBJECT"
      >
        Signs in with the password here, and at no identity provider.
      </EmptyState>
    );
  }
  return (
    <Rows
      label="Identities"
      items={data.items}
      columns={[
        { label: "Provider", cell: ({ issuer }) => <span className="isolated">{issuer}</span> },
        { label: "Subject", cell: ({ subject }) => <span className="isolated">{subject}</span> },
        {
          label: "Last seen",
          cell: ({ seen_at }) => (seen_at ? <Time at={seen_at} /> : <Badge variant="default">never</Badge>),
        },
      ]}
      keyOf={({ issuer, subject }) => `${issuer} ${subject}`}
    />
  );
}
