import { Alert, SimpleGrid, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { CopyId } from "~/components/copy";
import { PageLink } from "~/components/links";
import { Facts, Page } from "~/components/page";
import { ProblemAlert } from "~/components/problem-alert";
import { Time } from "~/components/time";
import { bytesText } from "~/components/words";
import { NotFound, PagePending } from "~/shell/fallbacks";
import { Named, Outcome, targetText } from "./columns";
import { type Connection, flowQuery, RECORDS_POLL_MS } from "./queries";

export default function ConnectionPage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const { data, error, refetch } = useQuery({ ...flowQuery(id), refetchInterval: RECORDS_POLL_MS });
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!data) return <PagePending />;
  const [first] = data.items;
  if (!first) return <NotFound />;
  const differs = [...new Set(data.items.flatMap((item) => item.differs))];
  return (
    <Page title={`Connection to ${targetText(first)}`} subtitle={<CopyId id={first.flow} />}>
      {differs.length > 0 && (
        <Alert color="red" variant="light" title="Its two sides contradict each other">
          In {differs.join(", ")}. An honest pair differs in nothing: look at both hosts.
        </Alert>
      )}
      <Facts
        facts={[
          ["Who", <Named key="who" id={first.user} />],
          ["Device", <Named key="device" id={first.device} />],
          ["Resource", <Named key="resource" id={first.resource} />],
          ["Network", <Named key="network" id={first.network} />],
          ["Decided by revision", <PageLink key="revision" to="/enforcement">{`#${first.revision}`}</PageLink>],
          ["Grants", first.grants.length > 0 ? first.grants.join(", ") : "none"],
        ]}
      />
      <SimpleGrid cols={{ base: 1, md: 2 }} spacing="xl">
        {data.items.map((side) => (
          <Side key={side.id} side={side} />
        ))}
      </SimpleGrid>
    </Page>
  );
}

function Side({ side }: { side: Connection }) {
  return (
    <section aria-label={`The ${side.reporter}'s side`}>
      <Title order={2} size="h4" mb="xs">
        {side.reporter === "client" ? "What the client told" : "What the connector told"}
      </Title>
      <Facts
        facts={[
          ["Outcome", <Outcome key="outcome" connection={{ ...side, differs: [] }} />],
          ["Started", <Time key="started" at={side.started_at} both />],
          ["Ended", <Time key="ended" at={side.ended_at} both />],
          ["Up / down", `${bytesText(side.bytes_up)} / ${bytesText(side.bytes_down)}`],
          ["Path", side.path || "none"],
          ["Connector", <Named key="connector" id={side.connector} />],
          ["Relay", <Named key="relay" id={side.relay} />],
          ["Dialled", side.address || "nothing"],
          ["Token", side.token ? <CopyId key="token" id={side.token} /> : "none"],
        ]}
      />
    </section>
  );
}
