import { Paper, SimpleGrid, Text } from "@mantine/core";
import type { Schemas } from "~/api/client";

type Summary = Schemas["PlanSummary"];

/** "2 new, 1 changed; 3 gain, 1 loses; 1 connection cut" */
export function summaryText({ create, change, remove, gained, lost, cut }: Summary): string {
  const changes = [create && `${create} new`, change && `${change} changed`, remove && `${remove} removed`];
  const access = [gained && `${gained} gain`, lost && `${lost} lose`, cut && `${cut} connections cut`];
  const told = [changes, access].map((part) => part.filter(Boolean).join(", ")).filter(Boolean);
  return told.join("; ") || "changes nothing";
}

const TILES: [keyof Summary, string][] = [
  ["create", "New"],
  ["change", "Changed"],
  ["remove", "Removed"],
  ["gained", "Gain access"],
  ["lost", "Lose access"],
  ["cut", "Connections cut"],
];

export function SummaryTiles({ summary }: { summary: Summary }) {
  return (
    <SimpleGrid cols={{ base: 2, xs: 3, md: 6 }} spacing="sm">
      {TILES.map(([name, label]) => (
        <Paper key={name} withBorder p="sm" radius="md">
          <Text size="xl" fw={650} style={{ fontVariantNumeric: "tabular-nums" }}>
            {summary[name].toLocaleString("en")}
          </Text>
          <Text size="sm" c="dimmed">
            {label}
          </Text>
        </Paper>
      ))}
    </SimpleGrid>
  );
}
