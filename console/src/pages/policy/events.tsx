import { List, Text } from "@mantine/core";
import type { Schemas } from "~/api/client";
import { PageLink } from "~/components/links";
import { Time } from "~/components/time";

/** A link to one event of the audit trail. */
export function EventLink({ position, children }: { position: number; children?: React.ReactNode }) {
  return (
    <PageLink underline="always" to="/events" search={{ event: position }}>
      {children ?? `event ${position}`}
    </PageLink>
  );
}

/** The events that an answer rests on: what, by whom, when. */
export function Because({ events }: { events: Schemas["Cited"][] }) {
  if (events.length === 0) return <Text size="sm">No event: nothing was ever granted.</Text>;
  return (
    <List size="sm" spacing={4} aria-label="Events that justify it">
      {events.map((cited) => (
        <List.Item key={cited.event}>
          <EventLink position={cited.event}>
            {cited.type} #{cited.event}
          </EventLink>
          {" by "}
          <span className="isolated">{cited.actor_name ?? cited.actor}</span>, <Time at={cited.at} />
        </List.Item>
      ))}
    </List>
  );
}
