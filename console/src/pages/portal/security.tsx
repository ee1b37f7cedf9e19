import { Alert, Button, Code, Group, List, Modal, Stack, Text, TextInput, Title } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { queryClient } from "~/api/queries";
import { CommandBlock, CopyId } from "~/components/copy";
import { told } from "~/components/notify";
import { Facts, Page } from "~/components/page";
import { ProblemAlert, placeProblem } from "~/components/problem-alert";
import { QrCode } from "~/components/qr-code";
import { Status } from "~/components/status";
import { Tokens } from "~/pages/settings/tokens";
import { PagePending } from "~/shell/fallbacks";
import { Passkeys } from "./passkeys";
import { beginSecondFactor, confirmSecondFactor, newRecoveryCodes, removeMyFactor, secondFactorQuery } from "./queries";

const refresh = () => queryClient.invalidateQueries({ queryKey: ["me"] });

export default function SecurityPage() {
  return (
    <Page title="My sign-in" subtitle="How you prove that it is you.">
      <Passkeys />
      <SecondFactor />
      <section aria-label="My API tokens">
        <Title order={2} size="h4" mb="xs">
          My API tokens
        </Title>
        <Tokens owner="own" />
      </section>
    </Page>
  );
}

type Doing = "set-up" | "codes" | "remove" | null;

function SecondFactor() {
  const { data: factor, error, refetch } = useQuery(secondFactorQuery);
  const [doing, setDoing] = useState<Doing>(null);
  const [codes, setCodes] = useState<string[] | null>(null);
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!factor) return <PagePending />;
  const done = async (recovery: string[] | null) => {
    setDoing(null);
    setCodes(recovery);
    await refresh();
  };
  return (
    <section aria-label="Codes from an app">
      <Title order={2} size="h4" mb="xs">
        Codes from an app
      </Title>
      <Stack>
        <Facts
          facts={[
            [
              "State",
              factor.method ? (
                <Status key="state" kind="good" label={`On (${factor.method})`} since={factor.confirmed_at} />
              ) : (
                <Status key="state" kind={factor.required ? "warning" : "unknown"} label="Off" />
              ),
            ],
            ["Asked of you", factor.required ? "yes, by the sign-in rules" : "no"],
            ["Recovery codes left", factor.method ? factor.recovery_codes_left : "–"],
          ]}
        />
        <Group>
          {factor.method ? (
            <>
              <Button variant="default" onClick={() => setDoing("codes")}>
                New recovery codes
              </Button>
              <Button variant="default" onClick={() => setDoing("remove")}>
                Turn off
              </Button>
            </>
          ) : (
            <Button onClick={() => setDoing("set-up")}>Set up</Button>
          )}
        </Group>
      </Stack>
      <Modal
        opened={doing !== null}
        onClose={() => setDoing(null)}
        title={doing === "set-up" ? "Set up codes from an app" : doing === "codes" ? "New recovery codes" : "Turn off"}
        closeButtonProps={{ "aria-label": "Close" }}
      >
        {doing === "set-up" && <SetUp done={done} />}
        {doing === "codes" && (
          <CodeForm
            text="Earlier recovery codes are void then."
            verb="Make new codes"
            send={async (code) => done((await newRecoveryCodes(code)).recovery_codes)}
          />
        )}
        {doing === "remove" && (
          <CodeForm
            text="Your sign-in needs the password alone then, where the rules allow it. Recovery codes are void."
            verb="Turn off"
            send={async (code) => {
              await removeMyFactor(code);
              await done(null);
              told("Turned off.");
            }}
          />
        )}
      </Modal>
      <Codes codes={codes} onClose={() => setCodes(null)} />
    </section>
  );
}

function SetUp({ done }: { done: (codes: string[]) => Promise<void> }) {
  const begun = useMutation({ mutationFn: beginSecondFactor });
  if (!begun.data) {
    return (
      <Stack>
        <Text size="sm">You need an app for one-time codes, such as the one that came with your telephone.</Text>
        <ProblemAlert error={begun.error} />
        <Button onClick={() => begun.mutate()} loading={begun.isPending}>
          Begin
        </Button>
      </Stack>
    );
  }
  return (
    <Stack>
      <Text size="sm">
        Scan this with the app, or type the key into it. Both are shown only now. On the device that has the app:{" "}
        <a href={begun.data.uri}>open the app</a>
      </Text>
      <Group align="center">
        <QrCode text={begun.data.uri} label="The key as a QR code" />
        <Stack gap={4} miw={0}>
          <Text size="sm">The key:</Text>
          <CopyId id={begun.data.secret} />
        </Stack>
      </Group>
      <CodeForm
        text="Then the code that it shows:"
        verb="Turn on"
        send={async (code) => done((await confirmSecondFactor(code)).recovery_codes)}
      />
    </Stack>
  );
}

function CodeForm({ text, verb, send }: { text: string; verb: string; send: (code: string) => Promise<unknown> }) {
  const form = useForm({ initialValues: { code: "" } });
  const [unplaced, setUnplaced] = useState<unknown>(null);
  const sending = useMutation({
    mutationFn: () => send(form.values.code),
    onMutate: () => setUnplaced(null),
    onError: (error) => setUnplaced(placeProblem(form, error) ? null : error),
  });
  return (
    <form noValidate onSubmit={form.onSubmit(() => sending.mutate())}>
      <Stack>
        <Text size="sm">{text}</Text>
        <TextInput label="Code" autoComplete="one-time-code" required data-autofocus {...form.getInputProps("code")} />
        <ProblemAlert error={unplaced} />
        <Group justify="flex-end">
          <Button type="submit" loading={sending.isPending}>
            {verb}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function Codes({ codes, onClose }: { codes: string[] | null; onClose: () => void }) {
  return (
    <Modal
      opened={codes !== null}
      onClose={onClose}
      title="Recovery codes"
      closeButtonProps={{ "aria-label": "Close" }}
    >
      {codes && (
        <Stack>
          <Alert color="orange" variant="light" title="They are shown only now">
            Each replaces one code, once, when the app is lost. Keep them where the app is not.
          </Alert>
          <List>
            {codes.map((code) => (
              <List.Item key={code}>
                <Code>{code}</Code>
              </List.Item>
            ))}
          </List>
          <CommandBlock command={codes.join("\n")} label="Copy all codes" />
          <Button onClick={onClose}>I have them</Button>
        </Stack>
      )}
    </Modal>
  );
}
