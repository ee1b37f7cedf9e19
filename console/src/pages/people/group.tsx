import { ActionIcon, Button, Group, Select, TextInput, Title } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useDebouncedValue } from "@mantine/hooks";
import { IconEdit, IconUsersGroup, IconX } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { type ReactNode, useEffect, useState } from "react";
import { api, call } from "~/api/client";
import { queryClient } from "~/api/queries";
import { useMay } from "~/api/session";
import { ConfirmDanger } from "~/components/confirm-danger";
import { CopyId } from "~/components/copy";
import { EmptyState } from "~/components/empty-state";
import { FormDrawer } from "~/components/form-drawer";
import { PageLink } from "~/components/links";
import { told } from "~/components/notify";
import { useSnapshot } from "~/components/overtaken";
import { Facts, Page } from "~/components/page";
import { type Column, PagedTable } from "~/components/paged-table";
import { ProblemAlert } from "~/components/problem-alert";
import { Removal } from "~/components/removal";
import { Time } from "~/components/time";
import { PagePending } from "~/shell/fallbacks";
import {
  addMember,
  blastOfGroup,
  type Group as GroupOfPeople,
  groupQuery,
  nameOf,
  removeGroup,
  removeMember,
  renameGroup,
  type User,
  useMembers,
} from "./queries";

const refresh = () =>
  Promise.all(["groups", "access"].map((key) => queryClient.invalidateQueries({ queryKey: [key] })));

export default function GroupPage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const may = useMay();
  const { data: group, error, refetch } = useQuery(groupQuery(id));
  const renaming = useSnapshot(group);
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!group) return <PagePending />;
  return (
    <Page
      title={group.name}
      subtitle={<CopyId id={group.id} />}
      actions={
        may("groups:write") && (
          <>
            <Button variant="default" leftSection={<IconEdit size={16} />} onClick={renaming.open}>
              Rename
            </Button>
            <Removal
              name={group.name}
              noun="group"
              queryKey={groupQuery(id).queryKey}
              also={["access"]}
              blast={() => blastOfGroup(group)}
              act={() => removeGroup(group)}
            />
          </>
        )
      }
    >
      <Facts
        facts={[
          ["Made", <Time key="made" at={group.created_at} both />],
          [
            "Grants",
            <PageLink key="grants" to="/grants" search={{ subject: group.id }}>
              What it was given
            </PageLink>,
          ],
        ]}
      />
      {may("people:read") && <Members group={group} />}
      <Rename
        group={renaming.edited ?? group}
        opened={renaming.opened}
        onClose={renaming.close}
        note={renaming.overtaken}
      />
    </Page>
  );
}

function Members({ group }: { group: GroupOfPeople }) {
  const may = useMay();
  const members = useMembers(group.id);
  const [leaving, setLeaving] = useState<User | null>(null);
  const columns: Column<User>[] = [
    { label: "Name", cell: (user) => <PageLink to={`/users/${user.id}`}>{nameOf(user)}</PageLink> },
    { label: "E-mail address", cell: ({ email }) => <span className="isolated">{email ?? "erased"}</span>, wide: true },
    { label: "State", cell: ({ disabled }) => (disabled ? "disabled" : "enabled"), wide: true },
  ];
  if (may("groups:write")) {
    columns.push({
      label: "Take out",
      width: 90,
      cell: (user) => (
        <ActionIcon
          variant="subtle"
          color="gray"
          onClick={() => setLeaving(user)}
          aria-label={`Take ${nameOf(user)} out of the group`}
        >
          <IconX size={16} />
        </ActionIcon>
      ),
    });
  }
  return (
    <section aria-label="Members">
      <Title order={2} size="h4" mb="xs">
        Members
      </Title>
      {may("groups:write") && <AddMember group={group.id} />}
      <PagedTable
        label="Members"
        query={members}
        columns={columns}
        keyOf={({ id }) => id}
        empty={
          <EmptyState icon={IconUsersGroup} command={`ostiary admin group add-member ${group.id} grace@example.com`}>
            Nobody is in it yet.
          </EmptyState>
        }
      />
      <ConfirmDanger
        opened={leaving !== null}
        onClose={() => setLeaving(null)}
        title={`Take ${leaving ? nameOf(leaving) : ""} out of ${group.name}?`}
        verb="Take out"
        blast={async () => {
          const { lines } = await blastOfGroup({ ...group, members: 1 });
          return { lines: lines.slice(1), undo: "Adding the person again gives it back." };
        }}
        act={() => removeMember(group.id, leaving?.id ?? "")}
        done={refresh}
      />
    </section>
  );
}

function AddMember({ group }: { group: string }) {
  const [typed, setTyped] = useState("");
  const [asked] = useDebouncedValue(typed.trim(), 250);
  const { data: users = [] } = useQuery({
    queryKey: ["users", "choice", asked],
    queryFn: () =>
      call(
        api.GET("/api/v1/users", {
          params: { query: asked.includes("@") ? { email: asked, limit: 20 } : { limit: 200 } },
        }),
      ).then(({ items }) => items),
  });
  const adding = useMutation({
    mutationFn: (user: string) => addMember(group, user),
    onSuccess: async () => {
      setTyped("");
      await refresh();
      told("Added; what the group may reach is open at once.");
    },
  });
  const data = users.map((user) => ({ value: user.id, label: `${nameOf(user)} · ${user.email ?? user.id}` }));
  return (
    <Group align="flex-end" mb="sm">
      <Select
        label="Add a member"
        placeholder="Name or whole e-mail address"
        searchable
        data={data}
        value={null}
        searchValue={typed}
        onSearchChange={setTyped}
        nothingFoundMessage="Nobody; type the whole e-mail address"
        onChange={(user) => user && adding.mutate(user)}
        disabled={adding.isPending}
        w={360}
      />
      <ProblemAlert error={adding.error} />
    </Group>
  );
}

interface RenameProps {
  /** As it was when the drawer was opened. */
  group: GroupOfPeople;
  opened: boolean;
  onClose: () => void;
  note: ReactNode;
}

function Rename({ group, opened, onClose, note }: RenameProps) {
  const form = useForm({ initialValues: { name: group.name } });
  const { setValues } = form;
  useEffect(() => {
    if (opened) setValues({ name: group.name });
  }, [opened, group, setValues]);
  const send = async ({ name }: typeof form.values) => {
    await renameGroup(group, name);
    await refresh();
    told("Renamed; its grants stay.");
  };
  return (
    <FormDrawer opened={opened} onClose={onClose} title="Rename group" verb="Rename" form={form} send={send}>
      {note}
      <TextInput label="Name" required data-autofocus {...form.getInputProps("name")} />
    </FormDrawer>
  );
}
