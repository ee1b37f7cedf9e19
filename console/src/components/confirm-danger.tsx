import { Alert, Button, Group, List, Loader, Modal, Stack, Text, TextInput } from "@mantine/core";
import { IconAlertTriangle } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { problemOf } from "~/api/problem";
import { ProblemAlert } from "~/components/problem-alert";

/** What an action takes away: one sentence each, such as "14 people lose access". */
export interface Blast {
  lines: string[];
  /** How to get it back; null: it cannot be undone. */
  undo: string | null;
}

interface ConfirmDangerProps {
  opened: boolean;
  onClose: () => void;
  /** "Remove resource wiki?" */
  title: string;
  /** What the button says: the verb. */
  verb: string;
  /** Asks the API what would be lost; while it is not known, nothing can be confirmed. */
  blast: () => Promise<Blast>;
  /** Does it; what it throws is shown. */
  act: () => Promise<unknown>;
  /** Afterwards. */
  done?: () => void;
  /** A word to type first, for what cannot be undone. */
  typed?: string;
}

/** Asks before something is taken away, and says what goes with it. */
export function ConfirmDanger(props: ConfirmDangerProps) {
  return (
    <Modal
      opened={props.opened}
      onClose={props.onClose}
      title={props.title}
      closeButtonProps={{ "aria-label": "Close" }}
      centered
    >
      {props.opened && <Question {...props} />}
    </Modal>
  );
}

function Question({ onClose, title, verb, blast, act, done, typed }: ConfirmDangerProps) {
  const [word, setWord] = useState("");
  const found = useQuery({ queryKey: ["blast", title], queryFn: blast, gcTime: 0, staleTime: 0, retry: false });
  const action = useMutation({
    mutationFn: act,
    onSuccess: () => {
      onClose();
      done?.();
    },
  });
  // Whoever may remove something may still not read everything about it: then the button stays, and the dialog says why.
  const blind = found.isError && ["forbidden", "not_found"].includes(problemOf(found.error).code);
  return (
    <Stack>
      {found.isPending && (
        <Group gap="xs">
          <Loader size="xs" aria-hidden />
          <Text size="sm">Looking what would be lost …</Text>
        </Group>
      )}
      {found.isError && <ProblemAlert error={found.error} />}
      {found.data && (
        <Alert color="orange" variant="light" icon={<IconAlertTriangle />} title="What goes with it">
          <List size="sm">
            {found.data.lines.map((line) => (
              <List.Item key={line}>{line}</List.Item>
            ))}
          </List>
          <Text size="sm" mt="xs">
            {found.data.undo ?? "This cannot be undone."}
          </Text>
        </Alert>
      )}
      {typed && (
        <TextInput
          label={`Type ${typed} to go on`}
          value={word}
          onChange={(event) => setWord(event.currentTarget.value)}
          autoComplete="off"
        />
      )}
      <ProblemAlert error={action.error} />
      <Group justify="flex-end">
        <Button variant="default" onClick={onClose} data-autofocus>
          Keep it
        </Button>
        <Button
          color="red.8"
          loading={action.isPending}
          disabled={(!found.isSuccess && !blind) || (typed !== undefined && word !== typed)}
          onClick={() => action.mutate()}
        >
          {verb}
        </Button>
      </Group>
    </Stack>
  );
}
