import { Button, Drawer, Group, Stack } from "@mantine/core";
import type { UseFormReturnType } from "@mantine/form";
import { useMutation } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { ProblemAlert, placeProblem } from "~/components/problem-alert";

interface FormDrawerProps<T extends Record<string, unknown>> {
  opened: boolean;
  onClose: () => void;
  title: string;
  /** What the button says: the verb. */
  verb: string;
  /** Fields have the names of the API's, so that its refusals find them. */
  form: UseFormReturnType<T>;
  /** Sends it; a refusal lands on its field or above the buttons. */
  send: (values: T) => Promise<unknown>;
  /** Finds out what would come of it, which is shown first; the next press sends exactly what was looked at. */
  review?: (values: T) => Promise<ReactNode>;
  children: ReactNode;
}

/** A drawer with a form. Focus stays inside while it is open and goes back to what opened it. */
export function FormDrawer<T extends Record<string, unknown>>(props: FormDrawerProps<T>) {
  const { opened, onClose, title, verb, form, send, review, children } = props;
  const [unplaced, setUnplaced] = useState<unknown>(null);
  const [reviewed, setReviewed] = useState<{ of: string; shown: ReactNode }>();
  const sending = useMutation({
    mutationFn: send,
    onMutate: () => setUnplaced(null),
    onError: (error) => setUnplaced(placeProblem(form, error) ? null : error),
    onSuccess: () => {
      form.reset();
      setReviewed(undefined);
      onClose();
    },
  });
  const reviewing = useMutation({
    mutationFn: async (values: T) => ({ of: JSON.stringify(values), shown: await review?.(values) }),
    onMutate: () => setUnplaced(null),
    onError: (error) => setUnplaced(placeProblem(form, error) ? null : error),
    onSuccess: setReviewed,
  });
  const seen = !review || reviewed?.of === JSON.stringify(form.values);
  return (
    <Drawer opened={opened} onClose={onClose} title={title} closeButtonProps={{ "aria-label": "Close" }}>
      <form onSubmit={form.onSubmit((values) => (seen ? sending : reviewing).mutate(values))} noValidate>
        <Stack>
          {children}
          {seen && reviewed && <div role="status">{reviewed.shown}</div>}
          <ProblemAlert error={unplaced} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={sending.isPending || reviewing.isPending}>
              {seen ? verb : "Show what it changes"}
            </Button>
          </Group>
        </Stack>
      </form>
    </Drawer>
  );
}
