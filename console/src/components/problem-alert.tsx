import { Alert, Button, Group, Text } from "@mantine/core";
import type { UseFormReturnType } from "@mantine/form";
import { IconAlertTriangle } from "@tabler/icons-react";
import { problemOf } from "~/api/problem";
import { signedOut } from "~/api/queries";
import { signOut } from "~/api/session";

interface ProblemAlertProps {
  /** Whatever was thrown; nothing is shown without one. */
  error: unknown;
  retry?: () => void;
}

/** A refusal in the API's own words: what happened, what to do, and the request's id for the log. */
export function ProblemAlert({ error, retry }: ProblemAlertProps) {
  if (!error) return null;
  const problem = problemOf(error);
  return (
    <Alert color="red" variant="light" icon={<IconAlertTriangle />} title={problem.title} role="alert">
      {problem.detail !== problem.title && <Text size="sm">{problem.detail}</Text>}
      {problem.next && <Text size="sm">{problem.next}</Text>}
      <Group gap="xs" mt="xs">
        <Text size="xs" ff="monospace">
          {problem.code}
          {problem.request_id && ` · ${problem.request_id}`}
        </Text>
        {problem.code === "sign_in_not_recent" && (
          <Button size="compact-xs" variant="default" onClick={() => signOut().finally(signedOut)}>
            Sign in again
          </Button>
        )}
        {retry && (
          <Button size="compact-xs" variant="default" onClick={retry}>
            Try again
          </Button>
        )}
      </Group>
    </Alert>
  );
}

/**
 * Puts a refusal onto the field that the API names; form fields have the names of the API.
 *
 * Returns whether it has found its field; otherwise show it with `<ProblemAlert>`.
 */
export function placeProblem<T extends Record<string, unknown>>(form: UseFormReturnType<T>, error: unknown): boolean {
  const { field, detail } = problemOf(error);
  if (!field) return false;
  const values = form.getValues();
  const first = field.split(".")[0] ?? field;
  if (!(first in values)) return false;
  form.setFieldError(first, detail);
  return true;
}
