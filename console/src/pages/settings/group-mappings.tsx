import { ActionIcon, Button, Group, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { IconPlus, IconX } from "@tabler/icons-react";
import { queryClient } from "~/api/queries";
import { FormDrawer } from "~/components/form-drawer";
import { told } from "~/components/notify";
import { Picker } from "~/pages/policy/pickers";
import { mapGroups, type Provider } from "./queries";

interface GroupMappingsProps {
  opened: boolean;
  onClose: () => void;
  /** As it was when the drawer was opened: whoever was quicker meanwhile is not overwritten, but told of (412). */
  provider: Provider;
}

/** Which groups here follow which groups at the provider; the whole list is written at once. */
export function GroupMappings({ opened, onClose, provider }: GroupMappingsProps) {
  const form = useForm({
    initialValues: { groups: provider.groups.map((mapping, key) => ({ ...mapping, key })) },
    validate: {
      groups: {
        claim: (claim: string) => (claim.trim() ? null : "The group's name at the provider."),
        group: (group: string) => (group ? null : "The group here."),
      },
    },
  });
  const { groups } = form.values;
  const send = async (values: typeof form.values) => {
    await mapGroups(
      provider,
      values.groups.map(({ claim, group }) => ({ claim: claim.trim(), group })),
    );
    await queryClient.invalidateQueries({ queryKey: ["identity-providers"] });
    told("It counts for each person from the next sign-in on.");
  };
  return (
    <FormDrawer
      opened={opened}
      onClose={onClose}
      title={`Groups of ${provider.name}`}
      verb="Save mappings"
      form={form}
      send={send}
    >
      <Text size="sm">
        At each sign-in the person is put into the groups below and taken out of them, as the provider says. Other
        groups stay as they are.
      </Text>
      {!provider.groups_claim && (
        <Text size="sm" fw={600}>
          The provider names no claim that lists groups yet: edit it, or nothing of this counts.
        </Text>
      )}
      {groups.map(({ key }, index) => (
        <Group key={key} align="flex-start" wrap="nowrap" role="group" aria-label={`Mapping ${index + 1}`}>
          <Stack gap="xs" flex={1}>
            <TextInput
              label="Group at the provider"
              data-autofocus={index === 0 || undefined}
              {...form.getInputProps(`groups.${index}.claim`)}
            />
            <Picker kind="group" label="Group here" required {...form.getInputProps(`groups.${index}.group`)} />
          </Stack>
          <ActionIcon
            mt={28}
            variant="subtle"
            color="gray"
            aria-label={`Remove mapping ${index + 1}`}
            onClick={() => form.removeListItem("groups", index)}
          >
            <IconX size={16} />
          </ActionIcon>
        </Group>
      ))}
      {typeof form.errors.groups === "string" && (
        <Text size="sm" c="red" role="alert">
          {form.errors.groups}
        </Text>
      )}
      <Button
        variant="default"
        leftSection={<IconPlus size={16} />}
        onClick={() =>
          form.insertListItem("groups", {
            claim: "",
            group: "",
            key: 1 + Math.max(-1, ...groups.map(({ key }) => key)),
          })
        }
      >
        Add a mapping
      </Button>
    </FormDrawer>
  );
}
