import type { AccessSpan } from "./queries";

/** A stretch as a part of the time that is shown: both between 0 and 100. */
export interface Bar {
  span: AccessSpan;
  left: number;
  width: number;
}

/** The stretches of each device over the time from `since` to `until`, milliseconds. */
export function barsByDevice(spans: AccessSpan[], since: number, until: number): [string, Bar[]][] {
  const length = Math.max(1, until - since);
  const share = (moment: string | null, otherwise: number) => {
    const at = moment === null ? otherwise : new Date(moment).getTime();
    return (Math.min(Math.max(at, since), until) - since) / length;
  };
  const devices = new Map<string, Bar[]>();
  for (const span of spans) {
    const start = share(span.since, since);
    const end = share(span.until, until);
    const bars = devices.get(span.device) ?? [];
    bars.push({ span, left: start * 100, width: Math.max(0, end - start) * 100 });
    devices.set(span.device, bars);
  }
  return [...devices];
}
