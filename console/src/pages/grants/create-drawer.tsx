import { Checkbox, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useRef } from "react";
import { idempotencyKey } from "~/api/client";
import { queryClient } from "~/api/queries";
import { FormDrawer } from "~/components/form-drawer";
import { told } from "~/components/notify";
import type { SubjectKind } from "~/pages/policy/directory";
import { momentOf } from "~/pages/policy/durations";
import { Picker, SubjectFields } from "~/pages/policy/pickers";
import { createGrant, type GrantFilters } from "./queries";

interface CreateDrawerProps {
  opened: boolean;
  onClose: () => void;
  preset: GrantFilters;
}

export function CreateDrawer({ opened, onClose, preset }: CreateDrawerProps) {
  const key = useRef(idempotencyKey());
  const form = useForm({
    initialValues: {
      subject_kind: "group" as SubjectKind,
      subject: "",
      resource: preset.resource ?? "",
      policy: preset.policy ?? "",
      expires: false,
      expires_at: "",
    },
    validate: {
      subject: (value) => (value ? null : "Say who."),
      resource: (value) => (value ? null : "Say what."),
      expires_at: (value, { expires }) => (expires && !momentOf(value) ? "Say until when." : null),
    },
  });
  const send = async ({ subject_kind, subject, resource, policy, expires, expires_at }: typeof form.values) => {
    await createGrant(
      {
        subject_kind,
        subject,
        resource,
        policy: policy || null,
        expires_at: expires ? (momentOf(expires_at) ?? null) : null,
      },
      key.current,
    );
    key.current = idempotencyKey();
    told("The grant holds: clients learn of it at once.");
    await queryClient.invalidateQueries({ queryKey: ["grants"] });
  };
  return (
    <FormDrawer opened={opened} onClose={onClose} title="New grant" verb="Create grant" form={form} send={send}>
      <SubjectFields
        kind={form.values.subject_kind}
        setKind={(kind) => form.setFieldValue("subject_kind", kind)}
        kindError={form.errors.subject_kind}
        subject={form.values.subject}
        setSubject={(id) => form.setFieldValue("subject", id ?? "")}
        subjectError={form.errors.subject}
      />
      <Picker kind="resource" label="Resource" required {...form.getInputProps("resource")} />
      <Picker
        kind="policy"
        label="Policy"
        description="The conditions under which it holds. Without one it always holds."
        clearable
        {...form.getInputProps("policy")}
      />
      <Checkbox label="It ends by itself" {...form.getInputProps("expires", { type: "checkbox" })} />
      {form.values.expires && (
        <TextInput
          type="datetime-local"
          label="Until"
          description="In your time zone."
          required
          {...form.getInputProps("expires_at")}
        />
      )}
    </FormDrawer>
  );
}
