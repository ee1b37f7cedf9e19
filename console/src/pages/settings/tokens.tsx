import { Alert, Button, Group, Modal, MultiSelect, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useDisclosure } from "@mantine/hooks";
import { IconKey, IconPlus } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { idempotencyKey, type Schemas } from "~/api/client";
import { queryClient } from "~/api/queries";
import { useMay, useMe } from "~/api/session";
import { ConfirmDanger } from "~/components/confirm-danger";
import { CommandBlock } from "~/components/copy";
import { EmptyState } from "~/components/empty-state";
import { FormDrawer } from "~/components/form-drawer";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { Status } from "~/components/status";
import { Time } from "~/components/time";
import { Named } from "~/pages/activity/columns";
import { localText, utcText } from "~/pages/activity/moment-filter";
import { type ApiToken, createToken, revokeToken, rolesQuery, useTokens } from "./queries";

const DAY_MS = 86_400_000;
const DAYS = 90;
const refresh = () => queryClient.invalidateQueries({ queryKey: ["api-tokens"] });

export default function TokensPage() {
  const may = useMay();
  return (
    <Page
      title="API tokens"
      subtitle="For programs: each opens what its scopes name, and never more than its owner may."
    >
      <Tokens owner={may("tokens:read") ? undefined : "own"} />
    </Page>
  );
}

/** The list with what one can do to it; `own`: only the caller's. */
export function Tokens({ owner }: { owner: "own" | undefined }) {
  const me = useMe();
  const may = useMay();
  const [creating, drawer] = useDisclosure();
  const [revoking, setRevoking] = useState<ApiToken | null>(null);
  const columns: Column<ApiToken>[] = [
    { label: "Name", cell: ({ name, hint }) => <span className="isolated">{name ?? `…${hint}`}</span> },
    { label: "Whose", cell: ({ owner }) => (owner === me.id ? "yours" : <Named id={owner} />), wide: true },
    { label: "Scopes", cell: ({ scopes }) => scopes.join(", "), wide: true },
    {
      label: "Ends",
      cell: ({ expired, expires_at }) => (
        <Status kind={expired ? "bad" : "good"} label={expired ? "Expired" : "Good until"} since={expires_at} />
      ),
    },
    {
      label: "Last used",
      cell: ({ last_used_at }) => (last_used_at ? <Time at={last_used_at} /> : "never"),
      wide: true,
    },
    {
      label: "Revoke",
      cell: (token) =>
        (token.owner === me.id || may("tokens:write")) && (
          <Button
            size="compact-sm"
            variant="default"
            onClick={() => setRevoking(token)}
            aria-label={`Revoke ${token.name ?? token.hint}`}
          >
            Revoke
          </Button>
        ),
    },
  ];
  const create = may("credentials:write") && (
    <Button leftSection={<IconPlus size={16} />} onClick={drawer.open}>
      New API token
    </Button>
  );
  return (
    <Stack>
      <Group>{create}</Group>
      <PagedTable
        label="API tokens"
        query={useTokens(owner === "own" ? me.id : undefined)}
        columns={columns}
        keyOf={({ id }) => id}
        empty={
          <EmptyState
            icon={IconKey}
            command="ostiary admin api-token create ci --scope resources:read --secret-out token"
          >
            There is no API token. A program uses one in place of a person's password.
          </EmptyState>
        }
      />
      <CreateToken opened={creating} onClose={drawer.close} />
      <ConfirmDanger
        opened={revoking !== null}
        onClose={() => setRevoking(null)}
        title={`Revoke ${revoking?.name ?? revoking?.hint ?? ""}?`}
        verb="Revoke token"
        blast={async () => ({
          lines: [
            "Programs that use it are refused at once.",
            revoking?.last_used_at
              ? `It was last used on ${new Date(revoking.last_used_at).toLocaleString("en-GB")}.`
              : "It was never used.",
          ],
          undo: null,
        })}
        act={async () => revoking && revokeToken(revoking)}
        done={refresh}
      />
    </Stack>
  );
}

function CreateToken({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const { permissions } = useMe();
  const [key, setKey] = useState(idempotencyKey);
  const [made, setMade] = useState<Schemas["ApiTokenCreated"] | null>(null);
  const { data: roles } = useQuery({ ...rolesQuery, enabled: opened });
  const form = useForm({
    initialValues: {
      name: "",
      scopes: ["self:read"] as string[],
      expires_at: localText(new Date(Date.now() + DAYS * DAY_MS).toISOString()),
    },
  });
  const send = async ({ name, scopes, expires_at }: typeof form.values) => {
    const body = { name, scopes: scopes as Schemas["Permission"][], expires_at: utcText(expires_at) ?? "" };
    setMade(await createToken(body, key));
    setKey(idempotencyKey());
    await refresh();
  };
  const scopes = (roles?.token_scopes ?? []).filter((scope) => permissions.includes(scope));
  return (
    <>
      <FormDrawer opened={opened} onClose={onClose} title="New API token" verb="Make the token" form={form} send={send}>
        <TextInput label="Name" description="What uses it." required data-autofocus {...form.getInputProps("name")} />
        <MultiSelect
          label="Scopes"
          description="What it may do; only what you may yourself."
          searchable
          required
          data={scopes}
          {...form.getInputProps("scopes")}
        />
        <TextInput
          type="datetime-local"
          label="Good until"
          description="At most 366 days."
          required
          {...form.getInputProps("expires_at")}
        />
      </FormDrawer>
      <Modal
        opened={made !== null}
        onClose={() => setMade(null)}
        title="The token"
        closeButtonProps={{ "aria-label": "Close" }}
      >
        {made && (
          <Stack>
            <Alert color="orange" variant="light" title="It is shown only now">
              Nobody can read it again. Put it where the program's secrets are.
            </Alert>
            <CommandBlock command={made.secret} label="Copy the token" />
            <Text size="sm">Programs send it as Authorization: Bearer.</Text>
            <Button onClick={() => setMade(null)}>I have it</Button>
          </Stack>
        )}
      </Modal>
    </>
  );
}
