import { Alert, Button, Stack, Stepper, Tabs, Text } from "@mantine/core";
import { IconCheck, IconKey } from "@tabler/icons-react";
import { CommandBlock } from "~/components/copy";
import { Time, useNow } from "~/components/time";
import type { Way } from "./commands";
import type { Step } from "./steps";

interface TokenCommandsProps {
  ways: Way[];
  expires_at: string;
  /** Makes another token; the one that is shown is void then. */
  again?: () => void;
}

/** The command with its one-time token, which nobody can read again. */
export function TokenCommands({ ways, expires_at, again }: TokenCommandsProps) {
  const now = useNow();
  const expired = new Date(expires_at).getTime() <= now;
  return (
    <Stack gap="sm">
      <Alert
        color={expired ? "red" : "orange"}
        variant="light"
        icon={<IconKey />}
        title={expired ? "The token has expired" : "The token is shown only now"}
      >
        It is good for one enrolment{expired ? "; it expired " : ", and expires "}
        <Time at={expires_at} />.
        {again && (
          <Button variant="default" size="compact-sm" ml="sm" onClick={again}>
            Make a new token
          </Button>
        )}
      </Alert>
      <Tabs defaultValue={ways[0]?.value}>
        <Tabs.List>
          {ways.map(({ value, label }) => (
            <Tabs.Tab key={value} value={value}>
              {label}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {ways.map(({ value, command, note }) => (
          <Tabs.Panel key={value} value={value} pt="sm">
            <Stack gap="xs">
              <CommandBlock command={command} />
              <Text size="sm" c="dimmed">
                {note}
              </Text>
            </Stack>
          </Tabs.Panel>
        ))}
      </Tabs>
    </Stack>
  );
}

/** How far a deployment is, step by step, as it happens. */
export function LiveSteps({ steps }: { steps: Step[] }) {
  const waiting = steps.findIndex(({ state }) => state === "waiting");
  return (
    <div role="status" aria-label="Progress">
      <Stepper
        active={waiting === -1 ? steps.length : waiting}
        orientation="vertical"
        size="sm"
        iconSize={28}
        completedIcon={<IconCheck size={16} aria-hidden />}
      >
        {steps.map(({ label, state, detail, cause }) => (
          <Stepper.Step
            key={label}
            component="div"
            allowStepSelect={false}
            loading={state === "waiting"}
            label={`${label}${state === "done" ? ": done" : state === "waiting" ? ": waiting …" : ""}`}
            description={
              (cause || detail) && (
                <Text component="span" size="sm" fw={cause ? 600 : undefined} className="isolated">
                  {cause ? `Likely: ${cause}` : detail}
                </Text>
              )
            }
          />
        ))}
      </Stepper>
    </div>
  );
}
