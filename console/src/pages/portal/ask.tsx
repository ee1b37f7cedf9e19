import { NumberInput, Select, Textarea, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useEffect, useState } from "react";
import { idempotencyKey } from "~/api/client";
import { queryClient } from "~/api/queries";
import { FormDrawer } from "~/components/form-drawer";
import { told } from "~/components/notify";
import { askForAccess } from "./queries";

const HOUR_S = 3600;
const DURATIONS = [
  { value: String(HOUR_S), label: "an hour" },
  { value: String(8 * HOUR_S), label: "8 hours" },
  { value: String(24 * HOUR_S), label: "a day" },
  { value: String(7 * 24 * HOUR_S), label: "a week" },
];

interface AskDrawerProps {
  opened: boolean;
  onClose: () => void;
  target?: string;
  port?: number | null;
}

/** Asks the people who may give it for access, with a reason and for a while. */
export function AskDrawer({ opened, onClose, target = "", port = null }: AskDrawerProps) {
  const [key, setKey] = useState(idempotencyKey);
  const form = useForm({
    initialValues: { target: "", port: "" as number | string, reason: "", duration_s: String(8 * HOUR_S) },
  });
  const { setValues } = form;
  useEffect(() => {
    if (opened) setValues({ target, port: port ?? "" });
  }, [opened, target, port, setValues]);
  const send = async (values: typeof form.values) => {
    const body = {
      target: values.target,
      reason: values.reason,
      port: values.port === "" ? null : Number(values.port),
      duration_s: Number(values.duration_s),
    };
    await askForAccess(body, key);
    setKey(idempotencyKey());
    await queryClient.invalidateQueries({ queryKey: ["access-requests"] });
    told("Asked. You see the answer here, and it works as soon as it is given.");
  };
  return (
    <FormDrawer opened={opened} onClose={onClose} title="Request access" verb="Send request" form={form} send={send}>
      <TextInput
        label="What"
        description="A name or an address, such as wiki.corp.internal."
        required
        data-autofocus
        {...form.getInputProps("target")}
      />
      <NumberInput label="Port" min={1} max={65535} allowDecimal={false} {...form.getInputProps("port")} />
      <Select label="For" allowDeselect={false} data={DURATIONS} {...form.getInputProps("duration_s")} />
      <Textarea
        label="Why"
        description="Whoever answers reads it."
        required
        autosize
        minRows={2}
        {...form.getInputProps("reason")}
      />
    </FormDrawer>
  );
}
