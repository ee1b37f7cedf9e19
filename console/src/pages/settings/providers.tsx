import { Button, Group, PasswordInput, Select, Stack, TagsInput, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useDisclosure } from "@mantine/hooks";
import { IconBuildingFortress, IconPlus } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { idempotencyKey } from "~/api/client";
import { queryClient } from "~/api/queries";
import { useMay } from "~/api/session";
import { ConfirmDanger } from "~/components/confirm-danger";
import { EmptyState } from "~/components/empty-state";
import { FormDrawer } from "~/components/form-drawer";
import { told, toldProblem } from "~/components/notify";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { GroupMappings } from "./group-mappings";
import { changeProvider, checkProvider, createProvider, type Provider, removeProvider, useProviders } from "./queries";

const refresh = () => queryClient.invalidateQueries({ queryKey: ["identity-providers"] });

export default function ProvidersPage() {
  const may = useMay();
  const [drawn, drawer] = useDisclosure();
  const [editing, setEditing] = useState<Provider | null>(null);
  const [removing, setRemoving] = useState<Provider | null>(null);
  const [mapping, setMapping] = useState<Provider | null>(null);
  const write = may("identity-providers:write");
  const open = (provider: Provider | null) => {
    setEditing(provider);
    drawer.open();
  };
  const columns: Column<Provider>[] = [
    { label: "Name", cell: ({ name }) => <span className="isolated">{name}</span> },
    { label: "Issuer", cell: ({ issuer }) => <span className="isolated">{issuer}</span>, wide: true },
    {
      label: "Unknown people",
      cell: ({ new_users }) => (new_users === "create" ? "get an account" : "are refused"),
      wide: true,
    },
    { label: "Groups", cell: ({ groups }) => `${groups.length} mapped`, wide: true },
  ];
  if (write) {
    columns.push({
      label: "Actions",
      cell: (provider) => (
        <Group gap="xs">
          <Check provider={provider} />
          <Button
            size="compact-sm"
            variant="default"
            onClick={() => open(provider)}
            aria-label={`Edit ${provider.name}`}
          >
            Edit
          </Button>
          <Button
            size="compact-sm"
            variant="default"
            onClick={() => setMapping(provider)}
            aria-label={`Groups of ${provider.name}`}
          >
            Groups
          </Button>
          <Button
            size="compact-sm"
            variant="default"
            onClick={() => setRemoving(provider)}
            aria-label={`Remove ${provider.name}`}
          >
            Remove
          </Button>
        </Group>
      ),
    });
  }
  const create = write && (
    <Button leftSection={<IconPlus size={16} />} onClick={() => open(null)}>
      New provider
    </Button>
  );
  return (
    <Page title="Identity providers" subtitle="Where people sign in besides here, by OpenID Connect." actions={create}>
      <PagedTable
        label="Identity providers"
        query={useProviders()}
        columns={columns}
        keyOf={({ id }) => id}
        empty={
          <EmptyState
            icon={IconBuildingFortress}
            action={create}
            command="ostiary admin identity-provider create corporate --issuer https://login.example.com --client-id ostiary --client-secret-file secret.txt"
          >
            People sign in with passwords of their own here. Connect the company's provider, and they sign in there.
          </EmptyState>
        }
      />
      <ProviderDrawer opened={drawn} onClose={drawer.close} provider={editing} />
      {mapping && <GroupMappings opened onClose={() => setMapping(null)} provider={mapping} />}
      <ConfirmDanger
        opened={removing !== null}
        onClose={() => setRemoving(null)}
        title={`Remove ${removing?.name ?? ""}?`}
        verb="Remove provider"
        blast={async () => ({
          lines: [
            "Nobody can sign in with it any more; accounts that have no password here are locked out.",
            "Links between accounts and people at it are gone. Open sessions stay until they end.",
          ],
          undo: "A provider of the same issuer can be added again; people are linked anew by their next sign-in.",
        })}
        act={async () => removing && removeProvider(removing)}
        done={refresh}
      />
    </Page>
  );
}

/** Asks the controller to ask the provider. */
function Check({ provider }: { provider: Provider }) {
  const checking = useMutation({
    mutationFn: () => checkProvider(provider.id),
    onSuccess: ({ issuer }) => told(`${issuer} answers, and its keys are usable.`),
    onError: toldProblem,
  });
  return (
    <Button
      size="compact-sm"
      variant="default"
      loading={checking.isPending}
      onClick={() => checking.mutate()}
      aria-label={`Check ${provider.name}`}
    >
      Check
    </Button>
  );
}

const EMPTY = {
  name: "",
  issuer: "",
  client_id: "",
  client_secret: "",
  groups_claim: "",
  email_domains: [] as string[],
  new_users: "refuse" as Provider["new_users"],
  second_factor: "own" as Provider["second_factor"],
};

function ProviderDrawer({
  opened,
  onClose,
  provider,
}: {
  opened: boolean;
  onClose: () => void;
  provider: Provider | null;
}) {
  const [key, setKey] = useState(idempotencyKey);
  const form = useForm({ initialValues: EMPTY });
  const { setValues } = form;
  useEffect(() => {
    if (!opened) return;
    if (!provider) return setValues(EMPTY);
    const { name, issuer, client_id, groups_claim, email_domains, new_users, second_factor } = provider;
    setValues({
      ...EMPTY,
      name,
      issuer,
      client_id,
      groups_claim: groups_claim ?? "",
      email_domains,
      new_users,
      second_factor,
    });
  }, [opened, provider, setValues]);
  const send = async ({ issuer, groups_claim, client_secret, ...rest }: typeof form.values) => {
    const body = { ...rest, groups_claim: groups_claim || null };
    if (provider) await changeProvider(provider, { ...body, ...(client_secret && { client_secret }) });
    else await createProvider({ ...body, issuer, client_secret }, key);
    setKey(idempotencyKey());
    await refresh();
    told(provider ? "Changed." : "People can sign in with it now. Check it, and register its redirect address.");
  };
  return (
    <FormDrawer
      opened={opened}
      onClose={onClose}
      title={provider ? "Edit provider" : "New identity provider"}
      verb={provider ? "Save" : "Add provider"}
      form={form}
      send={send}
    >
      {provider && (
        <Stack gap={0}>
          <Text size="sm">Redirect address to register there</Text>
          <Text size="sm" ff="monospace">
            {provider.redirect_uri}
          </Text>
        </Stack>
      )}
      <TextInput label="Name" required data-autofocus {...form.getInputProps("name")} />
      {!provider && (
        <TextInput
          label="Issuer"
          description="Such as https://login.example.com; it must serve /.well-known/openid-configuration."
          required
          {...form.getInputProps("issuer")}
        />
      )}
      <TextInput label="Client ID" required {...form.getInputProps("client_id")} />
      <PasswordInput
        label="Client secret"
        description={provider ? "Left empty, it stays as it is." : "Stored sealed; never shown again."}
        required={!provider}
        autoComplete="off"
        {...form.getInputProps("client_secret")}
      />
      <TextInput label="Claim that lists groups" placeholder="groups" {...form.getInputProps("groups_claim")} />
      <TagsInput
        label="E-mail domains"
        description="Only verified addresses of these sign in; empty: no limit."
        {...form.getInputProps("email_domains")}
      />
      <Select
        label="Unknown people"
        allowDeselect={false}
        data={[
          { value: "refuse", label: "are refused" },
          { value: "create", label: "get an account (role member)" },
        ]}
        {...form.getInputProps("new_users")}
      />
      <Select
        label="Second factor"
        allowDeselect={false}
        data={[
          { value: "own", label: "is asked for here" },
          { value: "provider", label: "of the provider counts" },
        ]}
        {...form.getInputProps("second_factor")}
      />
    </FormDrawer>
  );
}
