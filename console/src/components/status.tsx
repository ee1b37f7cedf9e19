import { Group, Text, ThemeIcon } from "@mantine/core";
import {
  IconAlertTriangleFilled,
  IconCircleCheckFilled,
  IconCircleDashed,
  IconCircleXFilled,
  IconHelpCircleFilled,
} from "@tabler/icons-react";
import { useLive } from "~/api/live";
import { Time } from "~/components/time";

export type StatusKind = "good" | "bad" | "warning" | "waiting" | "unknown";

const LOOK = {
  good: { icon: IconCircleCheckFilled, color: "teal.8" },
  bad: { icon: IconCircleXFilled, color: "red.8" },
  warning: { icon: IconAlertTriangleFilled, color: "orange.8" },
  waiting: { icon: IconCircleDashed, color: "gate.7" },
  unknown: { icon: IconHelpCircleFilled, color: "gray.6" },
} as const;

interface StatusProps {
  kind: StatusKind;
  /** A word: colour alone tells nothing (WCAG 1.4.1). */
  label: string;
  /** Since when it is so. */
  since?: string | number | null;
}

/** A state, in shape, colour and word, and since when. Greys out while the console does not hear from the controller. */
export function Status({ kind, label, since }: StatusProps) {
  const live = useLive();
  const stale = !live.connected && Date.now() - live.since > 30_000;
  const { icon: Icon, color } = LOOK[stale ? "unknown" : kind];
  return (
    <Group gap={6} wrap="nowrap" component="span" display="inline-flex">
      <ThemeIcon size={16} variant="transparent" color={color} aria-hidden>
        <Icon size={16} />
      </ThemeIcon>
      <Text component="span" inherit c={stale ? "dimmed" : undefined}>
        {label}
        {since != null && (
          <>
            {" · "}
            <Time at={since} c="dimmed" />
          </>
        )}
        {stale && " (last known)"}
      </Text>
    </Group>
  );
}
