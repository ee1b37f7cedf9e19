import { Button, Group, TextInput } from "@mantine/core";
import { IconClock } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { localInput, momentOf } from "~/pages/policy/durations";

interface MomentFieldProps {
  at: string | undefined;
  /** null: now. */
  setAt: (moment: string | null) => void;
}

/** The moment that is asked about. Give it `key={at}`: it follows what changes the moment elsewhere. */
export function MomentField({ at, setAt }: MomentFieldProps) {
  const given = at ? localInput(new Date(at).getTime()) : "";
  const [typed, setTyped] = useState(given);
  // The clock of the field stands where it was when the page was opened: nothing later can be asked.
  const { data: latest } = useQuery({ queryKey: ["clock"], queryFn: () => localInput(Date.now()), staleTime: 60_000 });
  // A field knows minutes alone: left as it was, it must not round what a link or a slider says more exactly.
  const done = () => typed !== given && setAt(momentOf(typed) ?? null);
  return (
    <Group align="flex-end" gap="xs" wrap="nowrap" style={{ alignSelf: "start" }}>
      <TextInput
        type="datetime-local"
        label="When"
        flex={1}
        leftSection={<IconClock size={16} />}
        max={latest}
        value={typed}
        onChange={(event) => setTyped(event.currentTarget.value)}
        onBlur={done}
        onKeyDown={(event) => event.key === "Enter" && done()}
      />
      <Button variant="default" disabled={!at} onClick={() => setAt(null)}>
        Now
      </Button>
    </Group>
  );
}
