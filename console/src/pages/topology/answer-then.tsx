import { Group, Text } from "@mantine/core";
import { useMay } from "~/api/session";
import { ButtonLink } from "~/components/links";
import { ProblemAlert } from "~/components/problem-alert";
import { counted } from "~/components/words";
import { useAnswer } from "~/pages/access/queries";
import type { Thing } from "./graph";

interface AnswerThenProps {
  thing: Thing;
  at: string;
}

const PAIR = "pair of device and resource";
const PAIRS = "pairs of device and resource";

/** A tie does not say that somebody got through: the evaluator's answer for that moment does. */
export function AnswerThen({ thing, at }: AnswerThenProps) {
  const may = useMay();
  const asked = may("access:read") ? questionAbout(thing) : undefined;
  const { data, error } = useAnswer({ ...asked, at });
  if (!asked) return null;
  const can = data?.items.filter(({ verdict }) => verdict !== "denied").length ?? 0;
  return (
    <>
      <ProblemAlert error={error} />
      <Group gap="sm">
        {data && (
          <Text size="sm">
            Access then: {counted(can, PAIR, PAIRS, data.next_cursor)} permitted, {data.items.length - can} denied.
          </Text>
        )}
        <ButtonLink variant="default" size="compact-sm" to="/access" search={{ ...asked, at }}>
          Why: access explorer
        </ButtonLink>
      </Group>
    </>
  );
}

function questionAbout({ kind, id }: Thing): { user: string } | { resource: string } | undefined {
  if (kind === "resource") return { resource: id };
  return kind === "user" || kind === "service_account" ? { user: id } : undefined;
}
