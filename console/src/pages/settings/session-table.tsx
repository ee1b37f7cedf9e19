import { Badge, Button } from "@mantine/core";
import { IconDevices2 } from "@tabler/icons-react";
import { useState } from "react";
import type { PagedQuery } from "~/api/pages";
import { queryClient } from "~/api/queries";
import { ConfirmDanger } from "~/components/confirm-danger";
import { EmptyState } from "~/components/empty-state";
import { told } from "~/components/notify";
import { type Column, PagedTable } from "~/components/paged-table";
import { Time } from "~/components/time";
import { Named } from "~/pages/activity/columns";
import { endSession, type Session } from "./queries";

/** "Firefox on Linux" of a User-Agent, or its beginning. */
export function agentText(agent: string): string {
  const browser = /(Edg|OPR|Firefox|Chrome|Safari)\//.exec(agent)?.[1];
  const system = /(Windows|Mac OS X|Android|iPhone|Linux)/.exec(agent)?.[1];
  const names: Record<string, string> = { Edg: "Edge", OPR: "Opera", "Mac OS X": "macOS" };
  if (!browser) return agent.slice(0, 60) || "not told";
  return system ? `${names[browser] ?? browser} on ${names[system] ?? system}` : (names[browser] ?? browser);
}

/** Sessions with a button that ends each of them; the present one is ended by signing out. */
export function SessionTable({ query, whose = false }: { query: PagedQuery<Session>; whose?: boolean }) {
  const [ending, setEnding] = useState<Session | null>(null);
  const columns: Column<Session>[] = [
    { label: "Program", cell: ({ agent }) => <span className="isolated">{agentText(agent)}</span> },
    { label: "From", cell: ({ address }) => <span className="isolated">{address}</span> },
    { label: "How", cell: ({ method, kind }) => `${method} · ${kind}`, wide: true },
    { label: "Last seen", cell: ({ seen_at }) => <Time at={seen_at} /> },
    { label: "Ends", cell: ({ expires_at }) => <Time at={expires_at} />, wide: true },
    {
      label: "End",
      cell: (session) =>
        session.current ? (
          <Badge variant="default" tt="none">
            this one
          </Badge>
        ) : (
          <Button
            size="compact-sm"
            variant="default"
            onClick={() => setEnding(session)}
            aria-label={`End the session from ${session.address}`}
          >
            End
          </Button>
        ),
    },
  ];
  if (whose) columns.unshift({ label: "Whose", cell: ({ user }) => <Named id={user} /> });
  return (
    <>
      <PagedTable
        label="Sessions"
        query={query}
        columns={columns}
        keyOf={({ id }) => id}
        empty={
          <EmptyState icon={IconDevices2} command="ostiary admin session list">
            There is no session.
          </EmptyState>
        }
      />
      <ConfirmDanger
        opened={ending !== null}
        onClose={() => setEnding(null)}
        title="End this session?"
        verb="End session"
        blast={async () => ({
          lines: [`${agentText(ending?.agent ?? "")} from ${ending?.address ?? ""} is signed out at once.`],
          undo: "The person signs in again; devices stay signed in.",
        })}
        act={async () => ending && endSession(ending.id)}
        done={async () => {
          told("The session has ended.");
          await queryClient.invalidateQueries({ queryKey: ["sessions"] });
        }}
      />
    </>
  );
}
