import { Button, Checkbox, MultiSelect, PasswordInput, Select, Text, Textarea, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useDisclosure } from "@mantine/hooks";
import { IconPlus, IconShare2 } from "@tabler/icons-react";
import { useState } from "react";
import { idempotencyKey } from "~/api/client";
import { queryClient } from "~/api/queries";
import { useMay } from "~/api/session";
import { ConfirmDanger } from "~/components/confirm-danger";
import { EmptyState } from "~/components/empty-state";
import { FormDrawer } from "~/components/form-drawer";
import { told } from "~/components/notify";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { Status } from "~/components/status";
import { Time } from "~/components/time";
import { createSink, removeSink, type Sink, useSinks } from "./queries";

const KINDS = [
  { value: "https", label: "HTTPS, JSON lines" },
  { value: "syslog_tls", label: "Syslog over TLS" },
  { value: "syslog_tcp", label: "Syslog over TCP, not encrypted" },
];
const refresh = () => queryClient.invalidateQueries({ queryKey: ["sinks"] });

function SinkStatus({ sink }: { sink: Sink }) {
  if (sink.state === "delivering") return <Status kind="good" label="Delivers" since={sink.delivered_at} />;
  return (
    <>
      <Status kind="bad" label={`Fails: ${(sink.failure ?? "").replaceAll("_", " ")}`} since={sink.failing_since} />
      {sink.detail && (
        <Text size="xs" c="dimmed" className="isolated">
          {sink.detail}
        </Text>
      )}
    </>
  );
}

export default function SinksPage() {
  const may = useMay();
  const [creating, drawer] = useDisclosure();
  const [removing, setRemoving] = useState<Sink | null>(null);
  const columns: Column<Sink>[] = [
    { label: "Name", cell: ({ name }) => <span className="isolated">{name}</span> },
    { label: "State", cell: (sink) => <SinkStatus sink={sink} /> },
    { label: "Where to", cell: ({ kind, destination }) => `${destination} (${kind})`, wide: true },
    { label: "What", cell: ({ content }) => content.join(", "), wide: true },
    {
      label: "Waiting",
      cell: ({ pending_connections, pending_events }) => (pending_connections + pending_events).toLocaleString("en"),
    },
    { label: "Added", cell: ({ created_at }) => <Time at={created_at} />, wide: true },
  ];
  if (may("sinks:write")) {
    columns.push({
      label: "Remove",
      cell: (sink) => (
        <Button
          size="compact-sm"
          variant="default"
          onClick={() => setRemoving(sink)}
          aria-label={`Remove ${sink.name}`}
        >
          Remove
        </Button>
      ),
    });
  }
  const create = may("sinks:write") && (
    <Button leftSection={<IconPlus size={16} />} onClick={drawer.open}>
      New sink
    </Button>
  );
  return (
    <Page title="SIEM sinks" subtitle="Where connections and audit events are sent as they happen." actions={create}>
      <PagedTable
        label="Sinks"
        query={useSinks()}
        columns={columns}
        keyOf={({ id }) => id}
        empty={
          <EmptyState
            icon={IconShare2}
            action={create}
            command="ostiary admin sink create siem siem.example.com:6514 --kind syslog_tls"
          >
            Nothing is sent anywhere. A sink gets each connection and each change, at least once and in order.
          </EmptyState>
        }
      />
      <CreateSink opened={creating} onClose={drawer.close} />
      <ConfirmDanger
        opened={removing !== null}
        onClose={() => setRemoving(null)}
        title={`Remove ${removing?.name ?? ""}?`}
        verb="Remove sink"
        blast={async () => ({
          lines: [
            `${((removing?.pending_connections ?? 0) + (removing?.pending_events ?? 0)).toLocaleString("en")} records that it has not taken it never gets.`,
            "The records themselves stay here.",
          ],
          undo: "A new sink can be given everything from the start of the log.",
        })}
        act={async () => removing && removeSink(removing.id)}
        done={refresh}
      />
    </Page>
  );
}

function CreateSink({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const [key, setKey] = useState(idempotencyKey);
  const form = useForm({
    initialValues: {
      name: "",
      kind: "https" as Sink["kind"],
      destination: "",
      token: "",
      ca_pem: "",
      content: ["connections", "events"] as Sink["content"],
      from_start: false,
    },
  });
  const send = async ({ token, ca_pem, ...rest }: typeof form.values) => {
    await createSink({ ...rest, ...(token && { token }), ...(ca_pem && { ca_pem }) }, key);
    setKey(idempotencyKey());
    await refresh();
    told("It is sent to from now on.");
  };
  const { kind } = form.values;
  return (
    <FormDrawer opened={opened} onClose={onClose} title="New sink" verb="Add sink" form={form} send={send}>
      <Text size="sm">What it gets holds who reached what: give it only to those who may know.</Text>
      <TextInput label="Name" required data-autofocus {...form.getInputProps("name")} />
      <Select label="Kind" allowDeselect={false} data={KINDS} {...form.getInputProps("kind")} />
      <TextInput
        label="Destination"
        description={kind === "https" ? "https://HOST[:PORT]/PATH" : "HOST[:PORT]"}
        required
        {...form.getInputProps("destination")}
      />
      {kind === "https" && (
        <PasswordInput
          label="Token"
          description="Sent as Authorization: Bearer; stored sealed and never shown again."
          autoComplete="off"
          {...form.getInputProps("token")}
        />
      )}
      {kind !== "syslog_tcp" && (
        <Textarea
          label="CA certificate"
          description="PEM; trusted instead of the system's."
          autosize
          minRows={2}
          maxRows={8}
          {...form.getInputProps("ca_pem")}
        />
      )}
      <MultiSelect label="What" data={["connections", "events"]} {...form.getInputProps("content")} />
      <Checkbox label="From the start of the log" {...form.getInputProps("from_start", { type: "checkbox" })} />
    </FormDrawer>
  );
}
