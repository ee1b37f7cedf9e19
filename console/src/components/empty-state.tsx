import { Stack, Text, ThemeIcon } from "@mantine/core";
import type { ComponentType, ReactNode } from "react";
import { CommandBlock } from "~/components/copy";

interface EmptyStateProps {
  icon: ComponentType<{ size?: number | string; stroke?: number | string }>;
  /** One sentence that teaches what belongs here. */
  children: ReactNode;
  /** The primary action: a button. */
  action?: ReactNode;
  /** The command that does the same. */
  command?: string;
}

export function EmptyState({ icon: Icon, children, action, command }: EmptyStateProps) {
  return (
    <Stack align="center" gap="sm" py="xl" px="md" w="100%" maw={560} mx="auto">
      <ThemeIcon size={48} radius="xl" variant="light" aria-hidden>
        <Icon size={26} stroke={1.6} />
      </ThemeIcon>
      <Text ta="center">{children}</Text>
      {action}
      {command && (
        <Stack gap={4} w="100%">
          <Text size="sm" c="dimmed" ta="center">
            or run
          </Text>
          <CommandBlock command={command} />
        </Stack>
      )}
    </Stack>
  );
}
