import { Box, Group, Text } from "@mantine/core";
import { useMemo } from "react";
import type { Schemas } from "~/api/client";
import { absolute } from "~/components/time";
import { counted } from "~/components/words";
import classes from "./timeline.module.css";

type Bucket = Schemas["SummaryBucket"];
export const HOUR_MS = 3_600_000;
const HEIGHT = 120;
const STEP = 20;
const BAR = 14;

/** Every hour from the first to the last, those without connections too. */
export function filled(buckets: Bucket[], from_ms: number, hours: number): Bucket[] {
  const known = new Map(buckets.map((bucket) => [Math.floor(new Date(bucket.start).getTime() / HOUR_MS), bucket]));
  const first = Math.floor(from_ms / HOUR_MS);
  return Array.from({ length: hours }, (_, n) => {
    const start = new Date((first + n) * HOUR_MS).toISOString();
    return known.get(first + n) ?? { start, allowed: 0, denied: 0, failed: 0 };
  });
}

/** Connections by hour: allowed from below, denied and failed above them, with patterns besides colours. */
export function Timeline({ buckets, from_ms, hours }: { buckets: Bucket[]; from_ms: number; hours: number }) {
  const bars = useMemo(() => filled(buckets, from_ms, hours), [buckets, from_ms, hours]);
  const most = Math.max(1, ...bars.map(({ allowed, denied, failed }) => allowed + denied + failed));
  const sum = (kind: "allowed" | "denied" | "failed") => bars.reduce((total, bar) => total + bar[kind], 0);
  const told = `${counted(sum("allowed"), "connection", "connections")} allowed, ${sum("denied")} denied, ${sum("failed")} failed in the last ${hours} hours`;
  const height = (count: number) => (count / most) * (HEIGHT - 4);
  return (
    <Box>
      <svg
        viewBox={`0 0 ${hours * STEP} ${HEIGHT}`}
        className={classes.chart}
        role="img"
        aria-label={told}
        preserveAspectRatio="none"
      >
        <defs>
          <pattern id="denied" width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
            <rect width="4" height="4" className={classes.denied} />
            <rect width="1.5" height="4" className={classes.stripe} />
          </pattern>
        </defs>
        {bars.map((bar, n) => {
          const x = n * STEP + (STEP - BAR) / 2;
          const [allowed, failed, denied] = [height(bar.allowed), height(bar.failed), height(bar.denied)];
          return (
            <g key={bar.start}>
              <title>{`${absolute(new Date(bar.start).getTime())}: ${bar.allowed} allowed, ${bar.denied} denied, ${bar.failed} failed`}</title>
              <rect x={n * STEP} width={STEP} height={HEIGHT} fill="transparent" />
              <rect x={x} y={HEIGHT - 1} width={BAR} height={1} className={classes.ground} />
              <rect x={x} y={HEIGHT - allowed} width={BAR} height={allowed} className={classes.allowed} />
              <rect x={x} y={HEIGHT - allowed - failed} width={BAR} height={failed} className={classes.failed} />
              <rect x={x} y={HEIGHT - allowed - failed - denied} width={BAR} height={denied} fill="url(#denied)" />
            </g>
          );
        })}
      </svg>
      <Group gap="lg" mt="xs">
        {(["allowed", "failed", "denied"] as const).map((kind) => (
          <Group key={kind} gap={6}>
            <span className={`${classes.key} ${classes[kind]}`} aria-hidden />
            <Text size="sm">
              {sum(kind).toLocaleString("en")} {kind}
            </Text>
          </Group>
        ))}
      </Group>
    </Box>
  );
}
