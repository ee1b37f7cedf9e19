import { useForm } from "@mantine/form";
import { useRef } from "react";
import { idempotencyKey } from "~/api/client";
import { queryClient } from "~/api/queries";
import { FormDrawer } from "~/components/form-drawer";
import { told } from "~/components/notify";
import type { SubjectKind } from "~/pages/policy/directory";
import { EndsFields, endError, endOf, NO_END } from "~/pages/policy/ends-fields";
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
      ...NO_END,
    },
    validate: {
      subject: (value) => (value ? null : "Say who."),
      resource: (value) => (value ? null : "Say what."),
      expires_at: endError,
    },
  });
  const send = async ({ subject_kind, subject, resource, policy, ...ends }: typeof form.values) => {
    await createGrant(
      {
        subject_kind,
        subject,
        resource,
        policy: policy || null,
        expires_at: endOf(ends),
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
      <EndsFields form={form} />
    </FormDrawer>
  );
}
