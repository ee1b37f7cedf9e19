import { Button, Stack, Text } from "@mantine/core";
import { IconHandStop } from "@tabler/icons-react";
import { useState } from "react";
import { EmptyState } from "~/components/empty-state";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { Time } from "~/components/time";
import { targetText } from "~/pages/activity/columns";
import { AskDrawer } from "./ask";
import { type MyDenial, useMyDenials } from "./queries";

export default function DenialsPage() {
  const [asking, setAsking] = useState<MyDenial | null>(null);
  const columns: Column<MyDenial>[] = [
    { label: "When", cell: ({ at }) => <Time at={at} /> },
    { label: "What", cell: (denial) => <span className="isolated">{targetText(denial)}</span> },
    {
      label: "Why, and what to do",
      cell: ({ sentence, next, reason }) => (
        <Stack gap={0}>
          <Text size="sm">{sentence}</Text>
          <Text size="sm" c="dimmed">
            {next} ({reason})
          </Text>
        </Stack>
      ),
    },
    {
      label: "Ask",
      cell: (denial) => (
        <Button
          size="compact-sm"
          variant="default"
          onClick={() => setAsking(denial)}
          aria-label={`Ask for access to ${targetText(denial)}`}
        >
          Ask
        </Button>
      ),
    },
  ];
  return (
    <Page title="Denied to me" subtitle="What you wanted to reach and could not, newest first.">
      <PagedTable
        label="Denied to me"
        query={useMyDenials()}
        columns={columns}
        keyOf={({ id }) => String(id)}
        empty={
          <EmptyState icon={IconHandStop} command="ostiary explain wiki.corp.internal:443">
            Nothing was denied to you.
          </EmptyState>
        }
      />
      <AskDrawer
        opened={asking !== null}
        onClose={() => setAsking(null)}
        target={asking?.host ?? ""}
        port={asking?.port ?? null}
      />
    </Page>
  );
}
