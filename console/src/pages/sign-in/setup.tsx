import { Button, PasswordInput, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { useState } from "react";
import { api, call } from "~/api/client";
import { queryClient } from "~/api/queries";
import { CommandBlock } from "~/components/copy";
import { ButtonLink } from "~/components/links";
import { ProblemAlert, placeProblem } from "~/components/problem-alert";
import { Entrance } from "./entrance";

/** The first run: who holds the one-time token from the controller's host makes the first owner and the first network. */
export default function SetupPage() {
  const { data: setup, error } = useQuery({ queryKey: ["setup"], queryFn: () => call(api.GET("/api/v1/setup")) });
  if (setup && !setup.open) {
    return (
      <Entrance title="Ostiary is set up">
        <Stack>
          <Text>There is an owner already.</Text>
          <ButtonLink to="/sign-in">Sign in</ButtonLink>
        </Stack>
      </Entrance>
    );
  }
  return <Entrance title="Set up Ostiary">{error ? <ProblemAlert error={error} /> : <SetupForm />}</Entrance>;
}

function SetupForm() {
  const router = useRouter();
  const [error, setError] = useState<unknown>(null);
  const form = useForm({
    // The token is typed or pasted: in an address it would be in the logs of proxies and in the browser's history.
    initialValues: { token: "", name: "", email: "", password: "", network: "office" },
  });
  const sending = useMutation({
    mutationFn: async ({ network, ...values }: typeof form.values) => {
      await call(api.POST("/api/v1/setup", { body: { ...values, network: network.trim() || null } }));
      const { email, password } = values;
      await call(api.POST("/api/v1/sessions", { body: { email, password, kind: "console" } }));
    },
    onMutate: () => setError(null),
    onError: (failed) => setError(placeProblem(form, failed) ? null : failed),
    onSuccess: () => {
      queryClient.clear();
      router.history.push("/");
    },
  });
  return (
    <form onSubmit={form.onSubmit((values) => sending.mutate(values))} noValidate>
      <Stack>
        <Text size="sm">On the controller's host, this prints the set-up token:</Text>
        <CommandBlock command="ostiary-controller admin setup-token" />
        <TextInput label="Set-up token" autoComplete="off" required {...form.getInputProps("token")} />
        <TextInput label="Your name" autoComplete="name" required {...form.getInputProps("name")} />
        <TextInput
          label="Your e-mail address"
          description="You sign in with it."
          type="email"
          autoComplete="username"
          required
          {...form.getInputProps("email")}
        />
        <PasswordInput label="Password" autoComplete="new-password" required {...form.getInputProps("password")} />
        <TextInput
          label="First network"
          description="A place with resources, such as an office or a data centre; empty for none."
          {...form.getInputProps("network")}
        />
        <ProblemAlert error={error} />
        <Button type="submit" loading={sending.isPending}>
          Make the first owner
        </Button>
      </Stack>
    </form>
  );
}
