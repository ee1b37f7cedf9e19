import { Status } from "~/components/status";
import type { AccessLine } from "./queries";

const LOOK = {
  permitted: { kind: "good", label: "can" },
  conditional: { kind: "warning", label: "can, from an allowed place" },
  denied: { kind: "bad", label: "cannot" },
} as const;

/** What the API answered, in a word, with its reason. */
export function Verdict({ verdict, reason }: Pick<AccessLine, "verdict" | "reason">) {
  const { kind, label } = LOOK[verdict];
  return <Status kind={kind} label={reason && verdict === "denied" ? `${label}: ${reason}` : label} />;
}
