import { Group, Stack, Text, Title } from "@mantine/core";
import { type ReactNode, useEffect } from "react";

interface PageProps {
  title: string;
  /** One line below the title. */
  subtitle?: ReactNode;
  /** Buttons at the right. */
  actions?: ReactNode;
  children?: ReactNode;
}

/** The frame of every page: its one `h1`, which names the window as well. */
export function Page({ title, subtitle, actions, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · Ostiary`;
  }, [title]);
  return (
    <Stack gap="lg">
      <Group justify="space-between" align="flex-start" gap="md">
        <Stack gap={2} flex={1} miw={220}>
          <Title order={1} size="h2" className="isolated">
            {title}
          </Title>
          {subtitle && (
            <Text component="div" c="dimmed" size="sm">
              {subtitle}
            </Text>
          )}
        </Stack>
        {actions && <Group gap="sm">{actions}</Group>}
      </Group>
      {children}
    </Stack>
  );
}

/** Pairs of name and value on a detail page. */
export function Facts({ facts }: { facts: [string, ReactNode][] }) {
  return (
    <Stack component="dl" gap="xs" m={0}>
      {facts.map(([name, value]) => (
        <Group key={name} gap="md" align="flex-start" wrap="wrap">
          <Text component="dt" c="dimmed" size="sm" w={180}>
            {name}
          </Text>
          <Text component="dd" m={0} size="sm" flex={1} miw={200} className="isolated">
            {value}
          </Text>
        </Group>
      ))}
    </Stack>
  );
}
