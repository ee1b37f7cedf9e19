import { Alert } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useRef } from "react";
import { idempotencyKey } from "~/api/client";
import { queryClient } from "~/api/queries";
import { FormDrawer } from "~/components/form-drawer";
import { told } from "~/components/notify";
import type { SubjectKind } from "~/pages/policy/directory";
import { EndsFields, endError, endOf, NO_END } from "~/pages/policy/ends-fields";
import { Picker, SubjectFields } from "~/pages/policy/pickers";
import { createExclusion } from "./queries";

export function CreateDrawer({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const key = useRef(idempotencyKey());
  const form = useForm({
    initialValues: {
      subject_kind: "group" as SubjectKind,
      subject: "",
      resource: "",
      ...NO_END,
    },
    validate: {
      subject: (value) => (value ? null : "Say who."),
      resource: (value) => (value ? null : "Say from what."),
      expires_at: endError,
    },
  });
  const send = async ({ subject_kind, subject, resource, ...ends }: typeof form.values) => {
    await createExclusion({ subject_kind, subject, resource, expires_at: endOf(ends) }, key.current);
    key.current = idempotencyKey();
    told("The exclusion counts, whatever grants say.");
    await queryClient.invalidateQueries({ queryKey: ["exclusions"] });
  };
  return (
    <FormDrawer opened={opened} onClose={onClose} title="New exclusion" verb="Create exclusion" form={form} send={send}>
      <SubjectFields
        kind={form.values.subject_kind}
        setKind={(kind) => form.setFieldValue("subject_kind", kind)}
        kindError={form.errors.subject_kind}
        subject={form.values.subject}
        setSubject={(id) => form.setFieldValue("subject", id ?? "")}
        subjectError={form.errors.subject}
      />
      <Picker kind="resource" label="Resource" required {...form.getInputProps("resource")} />
      <EndsFields form={form} />
      <Alert color="orange" variant="light" title="It takes effect at once">
        It beats every grant, also on resources that overlap this one. Open connections that it forbids are cut within a
        second.
      </Alert>
    </FormDrawer>
  );
}
