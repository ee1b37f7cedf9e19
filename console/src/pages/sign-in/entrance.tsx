import { Center, Container, Paper, Stack, Title } from "@mantine/core";
import { type ReactNode, useEffect } from "react";

/** The frame of the pages that strangers see. */
export function Entrance({ title, children }: { title: string; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Ostiary`;
  }, [title]);
  return (
    <Container component="main" size={440} py={{ base: "xl", sm: 80 }}>
      <Stack>
        <Center>
          <img src="/icon.svg" width={48} height={48} alt="" />
        </Center>
        <Title order={1} size="h2" ta="center">
          {title}
        </Title>
        <Paper withBorder p="lg" radius="lg" shadow="sm">
          {children}
        </Paper>
      </Stack>
    </Container>
  );
}
