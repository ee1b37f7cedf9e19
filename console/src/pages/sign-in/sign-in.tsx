import { Button, Divider, PasswordInput, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { IconBuildingFortress, IconFingerprint } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useRouter, useSearch } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { api, call } from "~/api/client";
import { PasskeyCancelled, passkeysWork, signInWithPasskey } from "~/api/passkeys";
import { queryClient } from "~/api/queries";
import { ProblemAlert, placeProblem } from "~/components/problem-alert";
import { Entrance } from "./entrance";

/** Only a path of our own: a link to the sign-in page must not send people elsewhere (T-72). */
export function ownPath(next: unknown): string {
  const path = typeof next === "string" ? next : "/";
  const own = path.startsWith("/") && !path.startsWith("//") && !/[\\\s]/.test(path);
  return own && !path.startsWith("/sign-in") ? path : "/";
}

export default function SignInPage() {
  const search = useSearch({ strict: false }) as { next?: unknown; step?: unknown };
  const router = useRouter();
  const next = ownPath(search.next);
  const [second, setSecond] = useState(search.step === "second-factor");
  const arrived = async () => {
    queryClient.clear();
    router.history.push(next);
  };
  const { data: setup } = useQuery({ queryKey: ["setup"], queryFn: () => call(api.GET("/api/v1/setup")) });
  useEffect(() => {
    if (setup?.open) router.navigate({ to: "/setup", replace: true } as never);
  }, [setup, router]);
  return (
    <Entrance title="Sign in to Ostiary">
      {second ? (
        <SecondStep arrived={arrived} back={() => setSecond(false)} />
      ) : (
        <FirstStep arrived={arrived} goOn={() => setSecond(true)} next={next} />
      )}
    </Entrance>
  );
}

function FirstStep({ arrived, goOn, next }: { arrived: () => void; goOn: () => void; next: string }) {
  const { data: methods } = useQuery({
    queryKey: ["sign-in-methods"],
    queryFn: () => call(api.GET("/api/v1/sign-in-methods")),
  });
  const form = useForm({ initialValues: { email: "", password: "" } });
  const [error, setError] = useState<unknown>(null);
  const sending = useMutation({
    mutationFn: async (values: typeof form.values) =>
      call(api.POST("/api/v1/sessions", { body: { ...values, kind: "console" } })),
    onMutate: () => setError(null),
    onError: (failed) => setError(placeProblem(form, failed) ? null : failed),
    // 202 names the second factor that is asked for; 201 is a session.
    onSuccess: (answer) => ("second_factor" in answer && !("id" in answer) ? goOn() : arrived()),
  });
  return (
    <Stack>
      {methods?.providers.map(({ id, name, url }) => (
        <Button
          key={id}
          component="a"
          href={`${url}?console=${encodeURIComponent(next.split(/[?#]/)[0] ?? "/")}`}
          variant="default"
          leftSection={<IconBuildingFortress size={18} />}
        >
          <span className="isolated">Go on with {name}</span>
        </Button>
      ))}
      {passkeysWork() && <Passkey arrived={arrived} />}
      {(passkeysWork() || Boolean(methods?.providers.length)) && <Divider label="or with a password" />}
      <form onSubmit={form.onSubmit((values) => sending.mutate(values))} noValidate>
        <Stack>
          <TextInput
            label="E-mail address"
            type="email"
            autoComplete="username webauthn"
            required
            autoFocus
            {...form.getInputProps("email")}
          />
          <PasswordInput
            label="Password"
            autoComplete="current-password"
            required
            {...form.getInputProps("password")}
          />
          <ProblemAlert error={error} />
          <Button type="submit" loading={sending.isPending}>
            Sign in
          </Button>
        </Stack>
      </form>
    </Stack>
  );
}

function Passkey({ arrived }: { arrived: () => void }) {
  const asking = useMutation({ mutationFn: signInWithPasskey, onSuccess: arrived });
  return (
    <>
      <Button
        variant="default"
        leftSection={<IconFingerprint size={18} />}
        loading={asking.isPending}
        onClick={() => asking.mutate()}
      >
        Go on with a passkey
      </Button>
      {!(asking.error instanceof PasskeyCancelled) && <ProblemAlert error={asking.error} />}
    </>
  );
}

function SecondStep({ arrived, back }: { arrived: () => void; back: () => void }) {
  const form = useForm({ initialValues: { code: "" } });
  const [error, setError] = useState<unknown>(null);
  const sending = useMutation({
    mutationFn: ({ code }: typeof form.values) =>
      call(api.POST("/api/v1/sessions/second-factor", { body: { code, kind: "console" } })),
    onMutate: () => setError(null),
    onError: (failed) => setError(placeProblem(form, failed) ? null : failed),
    onSuccess: arrived,
  });
  return (
    <form onSubmit={form.onSubmit((values) => sending.mutate(values))} noValidate>
      <Stack>
        <Text>Now the code from your authenticator app, or one of your recovery codes.</Text>
        <TextInput label="Code" autoComplete="one-time-code" required autoFocus {...form.getInputProps("code")} />
        <ProblemAlert error={error} />
        <Button type="submit" loading={sending.isPending}>
          Sign in
        </Button>
        <Button variant="subtle" onClick={back}>
          Begin again
        </Button>
      </Stack>
    </form>
  );
}
