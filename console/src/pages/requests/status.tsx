import { Status, type StatusKind } from "~/components/status";
import type { AccessRequest, RequestStatus } from "./queries";

const KINDS: Record<RequestStatus, StatusKind> = {
  open: "waiting",
  approved: "good",
  denied: "bad",
  withdrawn: "unknown",
  expired: "unknown",
};

export function RequestState({ status, created_at, answered_at }: AccessRequest) {
  return <Status kind={KINDS[status]} label={status} since={status === "open" ? created_at : answered_at} />;
}
