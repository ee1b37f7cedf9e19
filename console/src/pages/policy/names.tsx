import { Group, Text } from "@mantine/core";
import {
  IconDatabase,
  IconDeviceLaptop,
  IconNetwork,
  IconPlugConnected,
  IconRobot,
  IconRoute,
  IconShieldCheck,
  IconUser,
  IconUsersGroup,
} from "@tabler/icons-react";
import { PageLink } from "~/components/links";
import { type Kind, type Listed, pathOf, useEntry } from "./directory";

export const KIND_ICONS = {
  user: IconUser,
  group: IconUsersGroup,
  service_account: IconRobot,
  resource: IconDatabase,
  policy: IconShieldCheck,
  device: IconDeviceLaptop,
  connector: IconPlugConnected,
  network: IconNetwork,
  relay: IconRoute,
} as const;

export const KIND_WORDS: Record<Kind, string> = {
  user: "Person",
  group: "Group",
  service_account: "Service account",
  resource: "Resource",
  policy: "Policy",
  device: "Device",
  connector: "Connector",
  network: "Network",
  relay: "Relay",
};

/** A link with the name of something whose id is known; `within` a sentence it is underlined. */
export function NamedLink({ kind, id, within = false }: { kind: Listed; id: string; within?: boolean }) {
  const { label } = useEntry(kind, id);
  return (
    <PageLink to={pathOf(kind, id)} underline={within ? "always" : "hover"}>
      {label}
    </PageLink>
  );
}

/** Who: kind, as a sign with its word, and name. */
export function Subject({ kind, id }: { kind: Listed; id: string }) {
  const Icon = KIND_ICONS[kind];
  return (
    <Group gap={6} wrap="nowrap" component="span" display="inline-flex">
      <Icon size={16} stroke={1.6} role="img" aria-label={KIND_WORDS[kind]} style={{ flexShrink: 0 }} />
      <Text component="span" inherit>
        <NamedLink kind={kind} id={id} />
      </Text>
    </Group>
  );
}
