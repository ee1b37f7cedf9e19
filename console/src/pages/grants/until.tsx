import { Status } from "~/components/status";
import { Time } from "~/components/time";

/** Until when a grant or an exclusion counts. */
export function Until({ expires_at, expired }: { expires_at: string | null; expired: boolean }) {
  if (expires_at === null) return <>no end</>;
  if (expired) return <Status kind="bad" label="expired" since={expires_at} />;
  return <Time at={expires_at} />;
}
