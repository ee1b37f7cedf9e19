import { Button, Menu, Select, Tabs, Text } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useDisclosure } from "@mantine/hooks";
import { IconDots } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { type ReactNode, useEffect, useState } from "react";
import { queryClient } from "~/api/queries";
import { useMay, useMe } from "~/api/session";
import { type Blast, ConfirmDanger } from "~/components/confirm-danger";
import { CopyId } from "~/components/copy";
import { FormDrawer } from "~/components/form-drawer";
import { told } from "~/components/notify";
import { useSnapshot } from "~/components/overtaken";
import { Facts, Page } from "~/components/page";
import { ProblemAlert } from "~/components/problem-alert";
import { useFilters } from "~/components/search";
import { Status } from "~/components/status";
import { Time } from "~/components/time";
import { PagePending } from "~/shell/fallbacks";
import {
  blastOfSubject,
  changeUser,
  eraseUser,
  nameOf,
  ROLES,
  type Role,
  removeSecondFactor,
  removeUser,
  type User,
  userQuery,
} from "./queries";
import { AccessOf, DevicesOf, GroupsOf, IdentitiesOf } from "./user-tabs";

interface Danger {
  title: string;
  verb: string;
  blast: () => Promise<Blast>;
  act: () => Promise<unknown>;
  done: string;
  leave?: boolean;
  typed?: string;
}

/** What can be taken from somebody, and what goes with it. */
function dangers(user: User): Record<"disable" | "remove" | "erase" | "factor", Danger> {
  const name = nameOf(user).slice(0, 80);
  return {
    disable: {
      title: `Disable ${name}?`,
      verb: "Disable",
      blast: () => blastOfSubject(user.id, "Enabling the account gives all of it back."),
      act: () => changeUser(user, { disabled: true }),
      done: "The account is disabled.",
    },
    remove: {
      title: `Remove ${name}?`,
      verb: "Remove user",
      blast: () => blastOfSubject(user.id, "It cannot be undone: a new account of the same address inherits nothing."),
      act: () => removeUser(user),
      done: "The account is removed.",
      leave: true,
    },
    erase: {
      title: `Erase the personal data of ${name}?`,
      verb: "Erase for good",
      blast: async () => ({
        lines: [
          "Name and e-mail address are gone, also from the audit trail, which keeps the id alone.",
          "Names of devices, identities at providers, second factors and texts of access requests are gone.",
          "Backups that were made before still hold them.",
        ],
        undo: null,
      }),
      act: () => eraseUser(user.id),
      done: "The personal data is erased.",
      typed: "erase",
    },
    factor: {
      title: `Take the second factor of ${name} away?`,
      verb: "Take it away",
      blast: async () => ({
        lines: [
          "The next sign-in needs the password alone, or a new second factor where the rules ask for one.",
          "Recovery codes are void.",
        ],
        undo: "A new second factor can be set up at any time.",
      }),
      act: () => removeSecondFactor(user.id),
      done: "The second factor is gone.",
    },
  };
}

export default function UserPage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const [filters, setFilters] = useFilters();
  const { data: user, error, refetch } = useQuery(userQuery(id));
  const may = useMay();
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!user) return <PagePending />;
  const tabs = [
    may("access:read") && { value: "access", label: "What they reach", body: <AccessOf user={user.id} /> },
    may("devices:read") && { value: "devices", label: "Devices", body: <DevicesOf owner={user.id} /> },
    may("groups:read") && may("people:read") && { value: "groups", label: "Groups", body: <GroupsOf user={user.id} /> },
    may("people:read") && { value: "identities", label: "Identities", body: <IdentitiesOf user={user.id} /> },
  ].filter((tab) => tab !== false);
  const tab = tabs.find(({ value }) => value === filters.tab)?.value ?? tabs[0]?.value;
  return (
    <Page title={nameOf(user)} subtitle={<CopyId id={user.id} />} actions={<Actions user={user} />}>
      <Facts
        facts={[
          ["E-mail address", user.email ?? "erased"],
          ["Role", user.role],
          [
            "State",
            <Status key="state" kind={user.disabled ? "bad" : "good"} label={user.disabled ? "Disabled" : "Enabled"} />,
          ],
          ["Second factor", user.second_factor ?? "none"],
          ["Made", <Time key="made" at={user.created_at} both />],
        ]}
      />
      <Tabs value={tab} onChange={(value) => setFilters({ tab: value })} keepMounted={false}>
        <Tabs.List>
          {tabs.map(({ value, label }) => (
            <Tabs.Tab key={value} value={value}>
              {label}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {tabs.map(({ value, body }) => (
          <Tabs.Panel key={value} value={value} pt="md">
            {body}
          </Tabs.Panel>
        ))}
      </Tabs>
    </Page>
  );
}

function Actions({ user }: { user: User }) {
  const may = useMay();
  const me = useMe();
  const navigate = useNavigate();
  const [danger, setDanger] = useState<Danger | null>(null);
  const [opened, dialog] = useDisclosure();
  const giving = useSnapshot(user);
  const refresh = () =>
    Promise.all(["users", "access", "devices"].map((key) => queryClient.invalidateQueries({ queryKey: [key] })));
  const enabling = useMutation({
    mutationFn: () => changeUser(user, { disabled: false }),
    onSuccess: async () => {
      await refresh();
      told("The account is enabled.");
    },
  });
  if (!may("people:write") || user.id === me.id) return null;
  const all = dangers(user);
  const ask = (which: keyof typeof all) => {
    setDanger(all[which]);
    dialog.open();
  };
  return (
    <>
      {may("roles:write") && (
        <Button variant="default" onClick={giving.open}>
          Change role
        </Button>
      )}
      {user.disabled ? (
        <Button variant="default" loading={enabling.isPending} onClick={() => enabling.mutate()}>
          Enable
        </Button>
      ) : (
        <Button variant="default" onClick={() => ask("disable")}>
          Disable
        </Button>
      )}
      <Menu position="bottom-end">
        <Menu.Target>
          <Button variant="default" leftSection={<IconDots size={16} />}>
            More
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          {user.second_factor && <Menu.Item onClick={() => ask("factor")}>Take the second factor away</Menu.Item>}
          {user.disabled && <Menu.Item onClick={() => ask("erase")}>Erase personal data</Menu.Item>}
          {!user.disabled && <Menu.Label>Personal data can be erased when the account is disabled.</Menu.Label>}
          <Menu.Item onClick={() => ask("remove")}>Remove the account</Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <ProblemAlert error={enabling.error} />
      <RoleDrawer user={giving.edited ?? user} opened={giving.opened} onClose={giving.close} note={giving.overtaken} />
      {danger && (
        <ConfirmDanger
          opened={opened}
          onClose={dialog.close}
          title={danger.title}
          verb={danger.verb}
          blast={danger.blast}
          act={danger.act}
          typed={danger.typed}
          done={async () => {
            if (danger.leave) await navigate({ to: "/users" } as never);
            told(danger.done);
            await refresh();
          }}
        />
      )}
    </>
  );
}

interface RoleProps {
  /** As it was when the drawer was opened. */
  user: User;
  opened: boolean;
  onClose: () => void;
  note: ReactNode;
}

function RoleDrawer({ user, opened, onClose, note }: RoleProps) {
  const form = useForm({ initialValues: { role: user.role as Role } });
  const { setValues } = form;
  useEffect(() => {
    if (opened) setValues({ role: user.role as Role });
  }, [opened, user, setValues]);
  const send = async ({ role }: typeof form.values) => {
    await changeUser(user, { role });
    await queryClient.invalidateQueries({ queryKey: ["users"] });
    told(`The role is ${role} now.`);
  };
  return (
    <FormDrawer opened={opened} onClose={onClose} title="Change role" verb="Give the role" form={form} send={send}>
      {note}
      <Text size="sm">
        A role says what somebody administers, at once. It opens no resource: that comes from grants alone.
      </Text>
      <Select label="Role" data={ROLES} allowDeselect={false} data-autofocus {...form.getInputProps("role")} />
    </FormDrawer>
  );
}
