import { Text, type TextProps, Tooltip } from "@mantine/core";
import { useSyncExternalStore } from "react";

/** One clock for the whole console: relative times move on together, without a timer each. */
const TICK_MS = 1_000;
const listeners = new Set<() => void>();
let now = Date.now();
let timer: number | undefined;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= window.setInterval(() => {
    now = Date.now();
    for (const each of listeners) each();
  }, TICK_MS);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      window.clearInterval(timer);
      timer = undefined;
    }
  };
}

/** The time in milliseconds, rounded down to `step_ms`: a component is drawn again only when that changes. */
export function useNow(step_ms = TICK_MS): number {
  return useSyncExternalStore(subscribe, () => Math.floor(Math.max(now, Date.now() - TICK_MS) / step_ms) * step_ms);
}

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];
const relativeFormat = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const absoluteFormat = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
export const timeZone = absoluteFormat.resolvedOptions().timeZone;

/** "12 s ago", "in 3 days". */
export function relative(at_ms: number, now_ms: number): string {
  const ahead = Math.round((at_ms - now_ms) / 1000);
  // What the controller has just said is ahead of a clock that ticks each second.
  const seconds = ahead > 0 && ahead <= 2 ? 0 : ahead;
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  return relativeFormat.format(Math.trunc(seconds / size), unit);
}

/** "22 Nov 2026, 13:00:00 Europe/Berlin". */
export function absolute(at_ms: number): string {
  return `${absoluteFormat.format(at_ms)} ${timeZone}`;
}

interface TimeProps extends TextProps {
  /** RFC 3339, or milliseconds; null is shown as a dash. */
  at: string | number | null | undefined;
  /** Shows the absolute time too, not only as a hint. */
  both?: boolean;
}

/** A moment, relative to now; hover or focus tells it absolutely with its time zone. */
export function Time({ at, both = false, ...rest }: TimeProps) {
  const moment = at === null || at === undefined ? Number.NaN : new Date(at).getTime();
  const recent = Math.abs(Date.now() - moment) < 120_000;
  const current = useNow(recent ? TICK_MS : 30_000);
  if (Number.isNaN(moment)) return <>–</>;
  const told = absolute(moment);
  const text = relative(moment, recent ? Math.max(current, Date.now() - TICK_MS) : current);
  return (
    <Tooltip label={told} disabled={both}>
      <Text component="time" inherit dateTime={new Date(moment).toISOString()} {...rest}>
        {both ? `${told} (${text})` : text}
      </Text>
    </Tooltip>
  );
}
