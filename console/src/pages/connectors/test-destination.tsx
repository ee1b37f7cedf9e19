import { Button, Group, NumberInput, Stack, Text, TextInput, Title } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useMutation } from "@tanstack/react-query";
import { api, call, type Schemas } from "~/api/client";
import { PageLink } from "~/components/links";
import { ProblemAlert, placeProblem } from "~/components/problem-alert";
import { Status } from "~/components/status";

/** Asks a connector to resolve and dial a destination; only what a resource of its network covers. */
export function TestDestination({ connector }: { connector: string }) {
  const form = useForm({ initialValues: { host: "", port: 443 as number | string } });
  const testing = useMutation({
    mutationFn: () =>
      call(
        api.POST("/api/v1/connectors/{connector}/test", {
          params: { path: { connector } },
          body: { host: form.values.host, port: Number(form.values.port) },
        }),
      ),
    onError: (error) => placeProblem(form, error),
  });
  return (
    <section aria-label="Test a destination">
      <Title order={2} size="h4" mb="xs">
        Test a destination from here
      </Title>
      <form noValidate onSubmit={form.onSubmit(() => testing.mutate())}>
        <Stack gap="sm">
          <Group align="flex-end">
            <TextInput label="Host" placeholder="wiki.corp.internal" required {...form.getInputProps("host")} />
            <NumberInput label="TCP port" min={1} max={65535} w={120} {...form.getInputProps("port")} />
            <Button type="submit" loading={testing.isPending}>
              Test
            </Button>
          </Group>
          {Object.keys(form.errors).length === 0 && <ProblemAlert error={testing.error} />}
          <div role="status">{testing.data && <Answer answer={testing.data} />}</div>
        </Stack>
      </form>
    </section>
  );
}

function Answer({ answer }: { answer: Schemas["ConnectorTest"] }) {
  const { supported, connected, sentence, next, addresses, address, resource } = answer;
  if (!supported) return <Status kind="unknown" label="The connector is too old to be asked; nothing was dialled" />;
  return (
    <Stack gap={2}>
      <Status
        kind={connected ? "good" : "bad"}
        label={connected ? `Connected to ${address ?? "it"}` : (sentence ?? "Not connected")}
      />
      {next && <Text size="sm">{next}</Text>}
      <Text size="sm" c="dimmed" className="isolated">
        {addresses.length > 0 ? `Resolved to ${addresses.join(", ")}; ` : ""}part of{" "}
        <PageLink to={`/resources/${resource}`}>a resource</PageLink>
      </Text>
    </Stack>
  );
}
