import { Alert, Textarea, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useState } from "react";
import { idempotencyKey } from "~/api/client";
import { queryClient } from "~/api/queries";
import { FormDrawer } from "~/components/form-drawer";
import { told } from "~/components/notify";
import { durationFault, durationText, parseDuration } from "~/pages/policy/durations";
import { Picker } from "~/pages/policy/pickers";
import { type AccessRequest, approve, deny, targetText } from "./queries";

interface AnswerProps {
  opened: boolean;
  onClose: () => void;
  request: AccessRequest;
}

async function answered(message: string): Promise<void> {
  told(message);
  await queryClient.invalidateQueries({ queryKey: ["access-requests"] });
  await queryClient.invalidateQueries({ queryKey: ["grants"] });
}

/** Yes, for how long, to what, under which conditions. What it is to mean is proposed when only one thing fits. */
export function ApproveDrawer({ opened, onClose, request }: AnswerProps) {
  const [key] = useState(idempotencyKey);
  const { candidates = [] } = request;
  const form = useForm({
    initialValues: {
      duration_s: durationText(request.duration_s),
      resource: request.resource ?? (candidates.length === 1 ? (candidates[0]?.id ?? "") : ""),
      policy: "",
      answer: "",
    },
    validate: {
      duration_s: (value) => (value.trim() ? durationFault(value) : "Say for how long."),
      resource: (value) => (value ? null : "Say what is meant."),
    },
  });
  const send = async ({ duration_s, resource, policy, answer }: typeof form.values) => {
    const body = { duration_s: parseDuration(duration_s) ?? null, resource, policy: policy || null, answer };
    await approve(request, body, key);
    await answered("It works at once, and ends by itself.");
  };
  return (
    <FormDrawer
      opened={opened}
      onClose={onClose}
      title={`Approve ${targetText(request)}`}
      verb="Approve request"
      form={form}
      send={send}
    >
      <TextInput
        label="For how long"
        description="From one minute to 90 days: 30m, 8h, 7d. It then ends by itself."
        required
        data-autofocus
        {...form.getInputProps("duration_s")}
      />
      <Picker
        kind="resource"
        label="Resource"
        description="The whole of it is granted, not only what was asked for."
        required
        {...form.getInputProps("resource")}
      />
      {candidates.length > 1 && (
        <Alert color="gate" variant="light" title="It can mean several">
          {candidates.map(({ name, address }) => `${name} (${address})`).join(", ")}
        </Alert>
      )}
      <Picker
        kind="policy"
        label="Policy"
        description="Conditions that must hold besides."
        clearable
        {...form.getInputProps("policy")}
      />
      <Textarea label="Answer" description="For the asker." autosize minRows={2} {...form.getInputProps("answer")} />
    </FormDrawer>
  );
}

export function DenyDrawer({ opened, onClose, request }: AnswerProps) {
  const [key] = useState(idempotencyKey);
  const form = useForm({
    initialValues: { answer: "" },
    validate: { answer: (value) => (value.trim() ? null : "Say why, so that the asker knows what to do instead.") },
  });
  const send = async ({ answer }: typeof form.values) => {
    await deny(request, { answer }, key);
    await answered("The request is denied.");
  };
  return (
    <FormDrawer
      opened={opened}
      onClose={onClose}
      title={`Deny ${targetText(request)}`}
      verb="Deny request"
      form={form}
      send={send}
    >
      <Textarea
        label="Answer"
        description="The asker reads it: why not, or what to do instead."
        required
        autosize
        minRows={3}
        data-autofocus
        {...form.getInputProps("answer")}
      />
    </FormDrawer>
  );
}
