import { Alert, Button, Text } from "@mantine/core";
import { type ReactNode, useState } from "react";

interface Versioned {
  version: number;
}

interface Snapshot<T> {
  opened: boolean;
  open: () => void;
  close: () => void;
  /** The thing as it was when the form was opened: its version lets the API refuse what would overwrite another's change. */
  edited: T | undefined;
  /** Says that somebody was quicker, while the form is open; show it in the form. */
  overtaken: ReactNode;
}

/**
 * Holds what a form began from while the page goes on to follow the controller (`now`).
 *
 * Otherwise the form would send old values with the newest version, and take another admin's change back without a word.
 */
export function useSnapshot<T extends Versioned>(now: T | undefined): Snapshot<T> {
  const [opened, setOpened] = useState(false);
  const [edited, setEdited] = useState<T>();
  const late = opened && edited !== undefined && now !== undefined && edited.version !== now.version;
  return {
    opened,
    edited,
    open: () => {
      setEdited(now);
      setOpened(true);
    },
    close: () => setOpened(false),
    overtaken: late && <Overtaken again={() => setEdited(now)} />,
  };
}

/** Somebody else has changed what a form is about. */
export function Overtaken({ again }: { again: () => void }) {
  return (
    <Alert color="orange" variant="light" role="alert" title="Somebody else has changed it meanwhile">
      <Text size="sm">What you see here began from how it was before, and will not be saved over the change.</Text>
      <Button mt="xs" size="compact-xs" variant="default" onClick={again}>
        Begin again from how it is now
      </Button>
    </Alert>
  );
}
