import { Button, Text } from "@mantine/core";
import { IconLockCheck, IconRefresh } from "@tabler/icons-react";
import { useRef, useState } from "react";
import { idempotencyKey } from "~/api/client";
import { queryClient } from "~/api/queries";
import { useMay } from "~/api/session";
import { type Blast, ConfirmDanger } from "~/components/confirm-danger";
import { CommandBlock, CopyId } from "~/components/copy";
import { EmptyState } from "~/components/empty-state";
import { told } from "~/components/notify";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { Status, type StatusKind } from "~/components/status";
import { distrustKey, type Key, rotateKeys, useKeys } from "./queries";

const LOOK: Record<Key["status"], [StatusKind, string]> = {
  active: ["good", "Signs now"],
  next: ["waiting", "Signs next; every agent knows it"],
  previous: ["unknown", "Was before; still believed for a day"],
  distrusted: ["bad", "Distrusted: counts nowhere"],
};

const ROTATE: Blast = {
  lines: [
    "The next key, which every agent already knows, signs from now on; a new next key is made.",
    "Nobody loses anything: no request fails and no connection is cut.",
  ],
  undo: "It rotates by itself as well, every 30 days unless the settings say otherwise.",
};
const DISTRUST: Blast = {
  lines: [
    "Every token that it signed is void at once.",
    "Connected agents drop tunnels, attachments and open connections that rest on it; programs see a reset and connect again.",
    "Agents that are cut off from the controller go on for their lease at most.",
  ],
  undo: null,
};

export default function KeysPage() {
  const may = useMay();
  const [asked, setAsked] = useState<{ kid: string | null } | null>(null);
  const once = useRef(idempotencyKey());
  const columns: Column<Key>[] = [
    { label: "Key", cell: ({ kid }) => <CopyId id={kid} /> },
    {
      label: "State",
      cell: ({ status, added_at }) => <Status kind={LOOK[status][0]} label={LOOK[status][1]} since={added_at} />,
    },
  ];
  if (may("keys:write")) {
    columns.push({
      label: "Distrust",
      cell: ({ kid, status }) =>
        status !== "distrusted" && (
          <Button
            size="compact-sm"
            variant="default"
            onClick={() => setAsked({ kid })}
            aria-label={`Distrust ${kid.slice(0, 8)}`}
          >
            Distrust
          </Button>
        ),
    });
  }
  const kid = asked?.kid ?? null;
  return (
    <Page
      title="Keys"
      subtitle="What signs policy, tickets and tokens. Private keys are sealed and never leave the controller."
      actions={
        may("keys:write") && (
          <Button variant="default" leftSection={<IconRefresh size={16} />} onClick={() => setAsked({ kid: null })}>
            Rotate now
          </Button>
        )
      }
    >
      <PagedTable
        label="Keys"
        query={useKeys()}
        columns={columns}
        keyOf={(key) => key.kid}
        empty={
          <EmptyState icon={IconLockCheck} command="ostiary-controller keys rotate">
            There is no signing key: nothing can be decided.
          </EmptyState>
        }
      />
      <Text size="sm">When a key may be in wrong hands, distrust it. The same from a shell:</Text>
      <CommandBlock command={"ostiary admin key rotate\nostiary admin key distrust KID"} />
      <ConfirmDanger
        opened={asked !== null}
        onClose={() => setAsked(null)}
        title={kid ? `Distrust ${kid.slice(0, 8)}…?` : "Rotate the signing key?"}
        verb={kid ? "Distrust" : "Rotate"}
        typed={kid ? "distrust" : undefined}
        blast={async () => (kid ? DISTRUST : ROTATE)}
        act={() => (kid ? distrustKey(kid, once.current) : rotateKeys(once.current))}
        done={async () => {
          once.current = idempotencyKey();
          told(kid ? "Distrusted; the next key signs now." : "The next key signs now.");
          await queryClient.invalidateQueries({ queryKey: ["keys"] });
        }}
      />
    </Page>
  );
}
