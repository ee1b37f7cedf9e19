import { Button, Group, Stack, Text, TextInput, Title } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, call } from "~/api/client";
import { addPasskey, PasskeyCancelled } from "~/api/passkeys";
import { queryClient } from "~/api/queries";
import { ConfirmDanger } from "~/components/confirm-danger";
import { told } from "~/components/notify";
import { Rows } from "~/components/paged-table";
import { ProblemAlert } from "~/components/problem-alert";
import { Time } from "~/components/time";
import { PagePending } from "~/shell/fallbacks";
import { type Passkey, passkeysQuery } from "./queries";

const refresh = () => queryClient.invalidateQueries({ queryKey: ["me"] });

/** Why the browser made none, for people: its own messages are for programmers. */
export function refusalText(error: unknown): string | null {
  if (error instanceof PasskeyCancelled) return "Nothing was made: it was cancelled, or took too long. Try again.";
  if (!(error instanceof DOMException)) return null;
  if (error.name === "InvalidStateError") return "This device has a passkey for this account already.";
  if (error.name === "SecurityError") return "The browser allows passkeys only at the controller's own https address.";
  return "The browser could not make a passkey.";
}

/** The passkeys of the person who is signed in: sign in with a fingerprint, a face or a key, without a password. */
export function Passkeys() {
  const { data, error, refetch } = useQuery(passkeysQuery);
  const [name, setName] = useState("");
  const [removing, setRemoving] = useState<Passkey | null>(null);
  const adding = useMutation({
    mutationFn: () => addPasskey(name.trim() || "passkey"),
    onSuccess: async () => {
      setName("");
      await refresh();
      told("You can sign in with it now.");
    },
  });
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!data) return <PagePending />;
  const refused = refusalText(adding.error);
  return (
    <section aria-label="Passkeys">
      <Title order={2} size="h4" mb="xs">
        Passkeys
      </Title>
      <Stack>
        {data.items.length === 0 ? (
          <Text size="sm">
            You have none. With a passkey you sign in by fingerprint, face or security key: nothing to type, and nothing
            that a false page could take.
          </Text>
        ) : (
          <Rows
            label="My passkeys"
            items={data.items}
            keyOf={({ id }) => id}
            columns={[
              { label: "Name", cell: ({ name }) => <span className="isolated">{name}</span> },
              {
                label: "Kept",
                cell: ({ synced }) => (synced ? "in an account, synced" : "on this device"),
                wide: true,
              },
              { label: "Made", cell: ({ created_at }) => <Time at={created_at} />, wide: true },
              { label: "Last used", cell: ({ last_used_at }) => (last_used_at ? <Time at={last_used_at} /> : "never") },
              {
                label: "Remove",
                cell: (passkey) => (
                  <Button
                    size="compact-sm"
                    variant="default"
                    onClick={() => setRemoving(passkey)}
                    aria-label={`Remove ${passkey.name}`}
                  >
                    Remove
                  </Button>
                ),
              },
            ]}
          />
        )}
        <form
          onSubmit={(event) => {
            event.preventDefault();
            adding.mutate();
          }}
        >
          <Group align="flex-end">
            <TextInput
              label="Name of a new passkey"
              placeholder="Such as laptop"
              value={name}
              onChange={(event) => setName(event.currentTarget.value)}
            />
            <Button type="submit" loading={adding.isPending}>
              Add a passkey
            </Button>
          </Group>
        </form>
        {refused ? <Text role="alert">{refused}</Text> : <ProblemAlert error={adding.error} />}
      </Stack>
      <ConfirmDanger
        opened={removing !== null}
        onClose={() => setRemoving(null)}
        title={`Remove the passkey ${removing?.name ?? ""}?`}
        verb="Remove passkey"
        blast={async () => ({
          lines: ["Nobody signs in with it any more.", "The password, and your other passkeys, stay good."],
          undo: "A new one can be added at any time.",
        })}
        act={async () =>
          removing && call(api.DELETE("/api/v1/me/passkeys/{passkey}", { params: { path: { passkey: removing.id } } }))
        }
        done={refresh}
      />
    </section>
  );
}
