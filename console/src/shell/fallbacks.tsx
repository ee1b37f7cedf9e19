import { Center, Container, Loader, Stack, Text, Title } from "@mantine/core";
import { ButtonLink } from "~/components/links";
import { ProblemAlert } from "~/components/problem-alert";

export function PagePending() {
  return (
    <Center mih={240}>
      <Loader role="status" aria-label="Loading" />
    </Center>
  );
}

export function PageFailed({ error, reset }: { error: unknown; reset: () => void }) {
  return (
    <Container size="sm" py="xl">
      <ProblemAlert error={error} retry={reset} />
    </Container>
  );
}

export function NotFound() {
  return (
    <Container size="sm" py="xl">
      <Stack gap="sm" align="flex-start">
        <Title order={1}>There is no such page</Title>
        <Text c="dimmed">The address is wrong, or what it showed has been removed.</Text>
        <ButtonLink to="/">Home</ButtonLink>
      </Stack>
    </Container>
  );
}
