import { Button, Group, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useDisclosure } from "@mantine/hooks";
import { IconPlus, IconUsersGroup } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { idempotencyKey } from "~/api/client";
import { queryClient } from "~/api/queries";
import { useMay } from "~/api/session";
import { EmptyState } from "~/components/empty-state";
import { FormDrawer } from "~/components/form-drawer";
import { PageLink } from "~/components/links";
import { NameFilter } from "~/components/name-filter";
import { Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { useFilters } from "~/components/search";
import { Time } from "~/components/time";
import { createGroup, type Group as GroupOfPeople, useGroups } from "./queries";

const columns: Column<GroupOfPeople>[] = [
  { label: "Name", cell: ({ id, name }) => <PageLink to={`/groups/${id}`}>{name}</PageLink> },
  { label: "Members", cell: ({ members }) => members.toLocaleString("en") },
  { label: "Made", cell: ({ created_at }) => <Time at={created_at} />, wide: true },
];

export default function GroupsPage() {
  const may = useMay();
  const navigate = useNavigate();
  const [filters] = useFilters();
  const [creating, drawer] = useDisclosure(filters.create !== undefined);
  const [key, setKey] = useState(idempotencyKey);
  const form = useForm({ initialValues: { name: "" } });
  const create = may("groups:write") && (
    <Button leftSection={<IconPlus size={16} />} onClick={drawer.open}>
      New group
    </Button>
  );
  const send = async (values: typeof form.values) => {
    const made = await createGroup(values, key);
    setKey(idempotencyKey());
    await queryClient.invalidateQueries({ queryKey: ["groups"] });
    await navigate({ to: `/groups/${made.id}` } as never);
  };
  return (
    <Page title="Groups" subtitle="People who get the same grants." actions={create}>
      <Group>
        <NameFilter />
      </Group>
      <PagedTable
        label="Groups"
        query={useGroups(filters.name)}
        columns={columns}
        keyOf={({ id }) => id}
        empty={
          <EmptyState icon={IconUsersGroup} action={create} command="ostiary admin group create engineers">
            A group gets grants, and its members reach what these say.
          </EmptyState>
        }
      />
      <FormDrawer
        opened={creating}
        onClose={drawer.close}
        title="New group"
        verb="Create group"
        form={form}
        send={send}
      >
        <TextInput label="Name" required data-autofocus {...form.getInputProps("name")} />
      </FormDrawer>
    </Page>
  );
}
