import { Button, Chip, Fieldset, Group, Input, Stack, TextInput } from "@mantine/core";
import { IconPlus, IconTrash } from "@tabler/icons-react";
import { DAYS, type Day, windowText } from "~/pages/policy/conditions";
import type { PolicyForm } from "./drawer";

const WORKDAYS: Day[] = ["mon", "tue", "wed", "thu", "fri"];

/** Weekdays and hours, window by window; any of them suffices. */
export function WindowFields({ form }: { form: PolicyForm }) {
  const { windows } = form.values.conditions;
  return (
    <Stack gap="sm" mt="sm">
      {windows.map((window, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a window has no name but its place
        <Fieldset key={index} legend={windowText(window)} variant="filled">
          <Chip.Group
            multiple
            value={window.days}
            onChange={(days) => form.setFieldValue(`conditions.windows.${index}.days`, days)}
          >
            <Group gap={6} role="group" aria-label="Weekdays on which it begins">
              {DAYS.map((day) => (
                <Chip key={day} value={day} size="xs">
                  {day}
                </Chip>
              ))}
            </Group>
          </Chip.Group>
          <Group align="flex-end" mt="sm">
            <TextInput type="time" label="From" {...form.getInputProps(`conditions.windows.${index}.start`)} />
            <TextInput type="time" label="To" {...form.getInputProps(`conditions.windows.${index}.end`)} />
            <Button
              variant="default"
              leftSection={<IconTrash size={16} />}
              onClick={() => form.removeListItem("conditions.windows", index)}
              aria-label={`Remove ${windowText(window)}`}
            >
              Remove
            </Button>
          </Group>
        </Fieldset>
      ))}
      {form.errors["conditions.windows"] && <Input.Error>{form.errors["conditions.windows"]}</Input.Error>}
      <Group>
        <Button
          size="compact-sm"
          variant="default"
          leftSection={<IconPlus size={14} />}
          onClick={() =>
            form.insertListItem("conditions.windows", { days: [...WORKDAYS], start: "08:00", end: "18:00" })
          }
        >
          {windows.length === 0 ? "Only at certain hours" : "Or at other hours"}
        </Button>
      </Group>
    </Stack>
  );
}
