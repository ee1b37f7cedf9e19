import { Alert, Button, Code, Group, Modal, PasswordInput, Select, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useDisclosure } from "@mantine/hooks";
import { IconPlus, IconUsers } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { idempotencyKey, type Schemas } from "~/api/client";
import { queryClient } from "~/api/queries";
import { useMay } from "~/api/session";
import { CommandBlock } from "~/components/copy";
import { EmptyState } from "~/components/empty-state";
import { FormDrawer } from "~/components/form-drawer";
import { PageLink } from "~/components/links";
import { NameFilter } from "~/components/name-filter";
import { told } from "~/components/notify";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { useFilters } from "~/components/search";
import { Status } from "~/components/status";
import { Time } from "~/components/time";
import { createUser, nameOf, ROLES, type User, useUsers } from "./queries";

const columns: Column<User>[] = [
  { label: "Name", cell: (user) => <PageLink to={`/users/${user.id}`}>{nameOf(user).slice(0, 200)}</PageLink> },
  { label: "E-mail address", cell: ({ email }) => <span className="isolated">{email ?? "erased"}</span>, wide: true },
  { label: "Role", cell: ({ role }) => role },
  {
    label: "State",
    cell: ({ disabled }) => <Status kind={disabled ? "bad" : "good"} label={disabled ? "Disabled" : "Enabled"} />,
  },
  { label: "Second factor", cell: ({ second_factor }) => second_factor ?? "none", wide: true },
  { label: "Made", cell: ({ created_at }) => <Time at={created_at} />, wide: true },
];

export default function UsersPage() {
  const may = useMay();
  const [filters, setFilters] = useFilters();
  const [creating, drawer] = useDisclosure(filters.create !== undefined);
  const users = useUsers(filters.email, filters.role);
  const create = may("people:write") && (
    <Button leftSection={<IconPlus size={16} />} onClick={drawer.open}>
      New user
    </Button>
  );
  return (
    <Page title="Users" subtitle="People who sign in, and what they may administer." actions={create}>
      <Group>
        <NameFilter field="email" label="E-mail address" placeholder="The whole address" />
        <Select
          label="Role"
          placeholder="All roles"
          clearable
          data={ROLES}
          value={filters.role ?? null}
          onChange={(role) => setFilters({ role })}
        />
      </Group>
      <PagedTable
        label="Users"
        query={users}
        columns={columns}
        keyOf={({ id }) => id}
        empty={
          <EmptyState
            icon={IconUsers}
            action={create}
            command="ostiary admin user create grace@example.com --name Grace"
          >
            Nobody is like this. A user signs in on devices and reaches what grants permit.
          </EmptyState>
        }
      />
      <CreateUser opened={creating} onClose={drawer.close} />
    </Page>
  );
}

function CreateUser({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const navigate = useNavigate();
  const [key, setKey] = useState(idempotencyKey);
  const [made, setMade] = useState<Schemas["UserCreated"] | null>(null);
  const form = useForm({ initialValues: { email: "", name: "", role: "member" as Schemas["Role"], password: "" } });
  const send = async ({ password, ...values }: typeof form.values) => {
    const user = await createUser({ ...values, password: password || null }, key);
    setKey(idempotencyKey());
    await queryClient.invalidateQueries({ queryKey: ["users"] });
    if (user.initial_password) setMade(user);
    else await open(user.id);
  };
  const open = async (id: string) => {
    setMade(null);
    told("The account is there.");
    await navigate({ to: `/users/${id}` } as never);
  };
  return (
    <>
      <FormDrawer opened={opened} onClose={onClose} title="New user" verb="Create user" form={form} send={send}>
        <TextInput label="E-mail address" type="email" required data-autofocus {...form.getInputProps("email")} />
        <TextInput label="Name" required {...form.getInputProps("name")} />
        <Select
          label="Role"
          description="Members administer nothing. What people reach comes from grants alone."
          data={ROLES}
          allowDeselect={false}
          {...form.getInputProps("role")}
        />
        <PasswordInput
          label="First password"
          description="Left empty, one is made up and shown once."
          autoComplete="new-password"
          {...form.getInputProps("password")}
        />
      </FormDrawer>
      <Modal
        opened={made !== null}
        onClose={() => made && open(made.id)}
        title="The first password"
        closeButtonProps={{ "aria-label": "Close" }}
      >
        {made?.initial_password && (
          <Stack>
            <Alert color="orange" variant="light" title="It is shown only now">
              Hand it to <span className="isolated">{nameOf(made)}</span> on a way of its own; it is to be changed after
              the first sign-in.
            </Alert>
            <CommandBlock command={made.initial_password} label="Copy the password" />
            <Text size="sm">
              Nobody can read it again. <Code>ostiary admin user password</Code> sets another one.
            </Text>
            <Button onClick={() => open(made.id)}>I have it</Button>
          </Stack>
        )}
      </Modal>
    </>
  );
}
