import { Alert, Paper, Stack, Text, Title } from "@mantine/core";
import type { Schemas } from "~/api/client";
import { PageLink } from "~/components/links";
import { Time } from "~/components/time";
import { counted, portsText } from "~/components/words";
import { pathOf } from "~/pages/policy/directory";
import { Because, EventLink } from "~/pages/policy/events";
import { includesPort } from "./addresses";
import type { AccessLine } from "./queries";
import { Verdict } from "./verdict";

interface AnswerProps {
  answer: Schemas["Access"];
  device: string | undefined;
  port: number | undefined;
}

/** So many are shown whole; more of them are asked for by narrowing the question. */
const SHOWN = 60;

export function Answer({ answer, device, port }: AnswerProps) {
  const lines = answer.items.filter((line) => device === undefined || line.device === device);
  const can = lines.filter(({ verdict }) => verdict !== "denied").length;
  return (
    <Stack gap="sm" component="section" aria-label="Answer">
      <Title order={2} size="h4">
        The answer
      </Title>
      <Text size="sm" c="dimmed">
        As of <Time at={answer.at} both />, revision{" "}
        <PageLink underline="always" to={`/enforcement/${answer.revision}`}>
          {answer.revision}
        </PageLink>
        : {counted(can, "device", "devices", answer.next_cursor)} can, {lines.length - can} cannot.
      </Text>
      {lines.length === 0 && (
        <Alert color="gate" variant="light" title="Cannot">
          No grant leads there on any {device ? "such " : ""}device that is signed in: what no grant names is denied.
        </Alert>
      )}
      {lines.slice(0, SHOWN).map((line) => (
        <Line key={`${line.subject} ${line.device} ${line.resource}`} line={line} port={port} />
      ))}
      {(lines.length > SHOWN || answer.next_cursor) && (
        <Text size="sm">There are more: name a person, a device or a resource to see them.</Text>
      )}
    </Stack>
  );
}

function Line({ line, port }: { line: AccessLine; port: number | undefined }) {
  const { subject_kind, subject, subject_name, device, device_name, resource, resource_name, ports } = line;
  const open =
    port === undefined || (ports != null && includesPort([...(ports.tcp ?? []), ...(ports.udp ?? [])], port));
  return (
    <Paper withBorder p="md" radius="md">
      <Stack gap={6}>
        <Text component="div">
          <PageLink underline="always" to={pathOf(subject_kind, subject)}>
            {subject_name ?? subject}
          </PageLink>
          {" on "}
          <PageLink underline="always" to={pathOf("device", device)}>
            {device_name ?? device}
          </PageLink>{" "}
          <Verdict verdict={line.verdict} reason={line.reason} />
          {" → "}
          <PageLink underline="always" to={pathOf("resource", resource)}>
            {resource_name ?? resource}
          </PageLink>
          {ports && line.verdict !== "denied" && <> ({portsText(ports)})</>}
        </Text>
        {!open && line.verdict !== "denied" && (
          <Text size="sm" fw={600}>
            Not on port {port}: it is none of its ports.
          </Text>
        )}
        <Stretch line={line} />
        <Because events={line.because} />
      </Stack>
    </Paper>
  );
}

/** Since when, and until when, without a break. */
function Stretch({ line }: { line: AccessLine }) {
  if (line.verdict === "denied") return null;
  return (
    <Text size="sm" c="dimmed">
      {line.since_exact === false ? "At least since " : "Since "}
      <Time at={line.since} />
      {line.since_event != null && (
        <>
          {" ("}
          <EventLink position={line.since_event} />)
        </>
      )}
      {line.until != null && (
        <>
          {line.until_exact === false ? ", at least until " : ", until "}
          <Time at={line.until} />
          {line.until_event != null && (
            <>
              {" ("}
              <EventLink position={line.until_event} />)
            </>
          )}
        </>
      )}
    </Text>
  );
}
