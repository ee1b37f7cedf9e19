import { ActionIcon, Code, CopyButton, Group, Paper, Tooltip } from "@mantine/core";
import { IconCheck, IconCopy } from "@tabler/icons-react";

function Copy({ value, label }: { value: string; label: string }) {
  return (
    <CopyButton value={value} timeout={2000}>
      {({ copied, copy }) => (
        <Tooltip label={copied ? "Copied" : label}>
          <ActionIcon variant="subtle" color={copied ? "teal" : "gray"} size="sm" onClick={copy} aria-label={label}>
            {copied ? <IconCheck size={14} /> : <IconCopy size={14} />}
          </ActionIcon>
        </Tooltip>
      )}
    </CopyButton>
  );
}

/** An id as the API and the command line know it, with a button that copies it. */
export function CopyId({ id }: { id: string }) {
  return (
    <Group gap={4} wrap="nowrap" component="span" display="inline-flex">
      <Code className="isolated">{id}</Code>
      <Copy value={id} label={`Copy ${id}`} />
    </Group>
  );
}

/** A command to run elsewhere, whole, with a button that copies it; a secret that belongs in it is shown. */
export function CommandBlock({ command, label = "Copy the command" }: { command: string; label?: string }) {
  return (
    <Paper withBorder p="xs" radius="md">
      <Group wrap="nowrap" align="flex-start" gap="xs" justify="space-between">
        <Code block bg="transparent" p={0} tabIndex={0} role="group" aria-label="Command" flex={1} miw={0}>
          {command}
        </Code>
        <Copy value={command} label={label} />
      </Group>
    </Paper>
  );
}
