import type { MyResource } from "./queries";

type Way = MyResource["devices"][number];
const ORDER = ["permitted", "conditional", "denied"];

/** The device from which it works best; undefined without a device. */
export function bestWay(devices: Way[]): Way | undefined {
  return [...devices].sort((a, b) => ORDER.indexOf(a.verdict) - ORDER.indexOf(b.verdict))[0];
}

/** "as a member of engineering, under work hours; by a grant of your own (expired)". */
export function whyText(grants: MyResource["grants"]): string {
  const parts = grants.map(({ via, via_name, policy, expired }) => {
    const who = via === "group" ? `as a member of ${via_name ?? "a group"}` : "by a grant of your own";
    return `${who}${policy ? `, under ${policy}` : ""}${expired ? " (expired)" : ""}`;
  });
  return parts.join("; ") || "–";
}
