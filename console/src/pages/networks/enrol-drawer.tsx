import { Button, Drawer, Group, Stack, Text } from "@mantine/core";
import { type UseFormReturnType, useForm } from "@mantine/form";
import { useMutation } from "@tanstack/react-query";
import { type ReactNode, useRef, useState } from "react";
import { idempotencyKey } from "~/api/client";
import { queryClient } from "~/api/queries";
import { ButtonLink } from "~/components/links";
import { ProblemAlert, placeProblem } from "~/components/problem-alert";
import type { Way } from "./commands";
import { TokenCommands } from "./enrolment";

/** What a one-time token was made for, and the token. */
export interface Issued {
  id: string;
  name: string;
  token: string;
  expires_at: string;
}

interface EnrolDrawerProps<T extends Record<string, unknown>, I extends Issued> {
  opened: boolean;
  onClose: () => void;
  title: string;
  /** The fields of what is made; where one is enrolled anew there are none. */
  initialValues: T;
  fields: (form: UseFormReturnType<T>) => ReactNode;
  /** Makes it with its first token. */
  create: (values: T, key: string) => Promise<I>;
  /** Makes a further token for what is there. */
  renew: (known: Omit<I, "token" | "expires_at">, key: string) => Promise<I>;
  /** The one that is enrolled anew; without it one is made. */
  known?: Omit<I, "token" | "expires_at">;
  /** Its kind of queries, which is also its page: "relays". */
  list: string;
  /** "the relay" */
  noun: string;
  /** On which host the command runs. */
  where: (issued: I) => ReactNode;
  ways: (issued: I) => Way[];
  /** The live steps. */
  progress: (issued: I) => ReactNode;
}

/** From a name to a one-time token, the command that takes it, and the steps as they happen. */
export function EnrolDrawer<T extends Record<string, unknown>, I extends Issued>(props: EnrolDrawerProps<T, I>) {
  const { opened, onClose, title } = props;
  return (
    <Drawer opened={opened} onClose={onClose} title={title} closeButtonProps={{ "aria-label": "Close" }}>
      {opened && <Enrol {...props} />}
    </Drawer>
  );
}

function Enrol<T extends Record<string, unknown>, I extends Issued>(props: EnrolDrawerProps<T, I>) {
  const { known, list } = props;
  const [issued, setIssued] = useState<I | null>(null);
  const key = useRef(idempotencyKey());
  const form = useForm<T>({ initialValues: props.initialValues });
  const making = useMutation({
    mutationFn: (again: typeof known) =>
      again ? props.renew(again, key.current) : props.create(form.values, key.current),
    onError: (error) => placeProblem(form, error),
    onSuccess: async (made) => {
      key.current = idempotencyKey();
      setIssued(made);
      await queryClient.invalidateQueries({ queryKey: [list] });
    },
  });
  if (!issued) {
    return (
      <form noValidate onSubmit={form.onSubmit(() => making.mutate(known))}>
        <Stack>
          {props.fields(form)}
          {Object.keys(form.errors).length === 0 && <ProblemAlert error={making.error} />}
          <Group justify="flex-end">
            <Button type="submit" loading={making.isPending}>
              Make the one-time token
            </Button>
          </Group>
        </Stack>
      </form>
    );
  }
  return (
    <Stack>
      <Text size="sm">{props.where(issued)}</Text>
      <TokenCommands ways={props.ways(issued)} expires_at={issued.expires_at} again={() => making.mutate(issued)} />
      <ProblemAlert error={making.error} />
      {props.progress(issued)}
      <Group justify="flex-end">
        <ButtonLink to={`/${list}/${issued.id}`} variant="default">
          {`Open ${props.noun}`}
        </ButtonLink>
        <Button onClick={props.onClose}>Done</Button>
      </Group>
    </Stack>
  );
}
