import { Accordion, Badge, Code, Group, Stack, Table, Text, TextInput, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { CommandBlock } from "~/components/copy";
import { Page } from "~/components/page";
import { ProblemAlert } from "~/components/problem-alert";
import { useFilters } from "~/components/search";
import { PagePending } from "~/shell/fallbacks";
import { commandOf, type Document, exampleOf, type Operation, operationsOf } from "./document";

const documentQuery = {
  queryKey: ["openapi"],
  staleTime: Number.POSITIVE_INFINITY,
  queryFn: async (): Promise<Document> => {
    const answer = await fetch("/api/v1/openapi.json", { credentials: "same-origin" });
    if (!answer.ok) throw new Error(`The document could not be read: HTTP ${answer.status}.`);
    return answer.json();
  },
};

export default function ReferencePage() {
  const { data: document, error, refetch } = useQuery(documentQuery);
  const [filters, setFilters] = useFilters();
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!document) return <PagePending />;
  const found = operationsOf(document, filters.find ?? "");
  return (
    <Page
      title="API reference"
      subtitle={
        <>
          Everything that this console does, programs can do. The document itself:{" "}
          <a href="/api/v1/openapi.json">/api/v1/openapi.json</a>
        </>
      }
    >
      <TextInput
        label="Find an operation"
        placeholder="A word or a path"
        defaultValue={filters.find}
        onChange={(event) => setFilters({ find: event.currentTarget.value || null })}
        maw={420}
      />
      {found.length === 0 && <Text>No operation is like this.</Text>}
      {found.map(([tag, operations]) => (
        <section key={tag} aria-label={`Operations: ${tag}`}>
          <Title order={2} size="h4" mb="xs" tt="capitalize">
            {tag}
          </Title>
          <Accordion
            variant="contained"
            order={3}
            value={operations.find(({ id }) => id === filters.operation)?.id ?? null}
            onChange={(operation) => setFilters({ operation })}
          >
            {operations.map((operation) => (
              <Accordion.Item key={operation.id} value={operation.id}>
                <Accordion.Control>
                  <Group gap="sm" wrap="wrap">
                    <Badge variant="default" w={76}>
                      {operation.method}
                    </Badge>
                    <Code>{operation.path}</Code>
                    <Text size="sm">{operation.summary}</Text>
                  </Group>
                </Accordion.Control>
                <Accordion.Panel>
                  {filters.operation === operation.id && <Detail operation={operation} document={document} />}
                </Accordion.Panel>
              </Accordion.Item>
            ))}
          </Accordion>
        </section>
      ))}
    </Page>
  );
}

function Detail({ operation, document }: { operation: Operation; document: Document }) {
  const body = exampleOf(operation.body, document);
  const answer = exampleOf(operation.answer, document);
  return (
    <Stack gap="sm">
      {operation.description && <Text size="sm">{operation.description}</Text>}
      {operation.parameters.length > 0 && (
        <Table.ScrollContainer minWidth={480}>
          <Table aria-label="Parameters" verticalSpacing={4}>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Parameter</Table.Th>
                <Table.Th>In</Table.Th>
                <Table.Th>Type</Table.Th>
                <Table.Th>What it says</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {operation.parameters.map(({ name, where, type, required, description }) => (
                <Table.Tr key={`${where} ${name}`}>
                  <Table.Td>
                    <Code>{name}</Code>
                    {required && " required"}
                  </Table.Td>
                  <Table.Td>{where}</Table.Td>
                  <Table.Td>{type}</Table.Td>
                  <Table.Td>{description}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      <Text size="sm" fw={600}>
        Example
      </Text>
      <CommandBlock command={commandOf(operation, body, window.location.origin)} />
      {answer !== undefined && (
        <>
          <Text size="sm" fw={600}>
            Answer
          </Text>
          <Code block tabIndex={0} role="region" aria-label="Answer" mah={360} style={{ overflow: "auto" }}>
            {JSON.stringify(answer, null, 2)}
          </Code>
        </>
      )}
      <Text size="sm">Refusals are problem details (RFC 9457): {operation.refusals.join(", ") || "none"}.</Text>
    </Stack>
  );
}
