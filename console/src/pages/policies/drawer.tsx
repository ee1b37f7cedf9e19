import { Alert, Fieldset, Group, Select, Switch, TagsInput, TextInput } from "@mantine/core";
import { type UseFormReturnType, useForm } from "@mantine/form";
import { useNavigate } from "@tanstack/react-router";
import { type ReactNode, useMemo } from "react";
import { ApiProblem } from "~/api/problem";
import { queryClient } from "~/api/queries";
import { FormDrawer } from "~/components/form-drawer";
import { told } from "~/components/notify";
import { timeZone } from "~/components/time";
import {
  type ConditionFields,
  conditionsOf,
  conditionTexts,
  fieldAtFault,
  fieldsOf,
  NO_CONDITIONS,
} from "~/pages/policy/conditions";
import { durationFault } from "~/pages/policy/durations";
import { changePolicy, createPolicy, type Policy } from "./queries";
import { WindowFields } from "./windows";

interface Values extends Record<string, unknown> {
  name: string;
  conditions: ConditionFields;
}
export type PolicyForm = UseFormReturnType<Values>;

interface PolicyDrawerProps {
  opened: boolean;
  onClose: () => void;
  /** The one to change, as it was when the drawer was opened; without it a new one is made. */
  policy?: Policy;
  /** Stands above the fields. */
  note?: ReactNode;
}

/** Makes or changes a policy. Fields are those of the API; lengths of time are typed as "8h". */
export function PolicyDrawer({ opened, onClose, policy, note }: PolicyDrawerProps) {
  const navigate = useNavigate();
  const form: PolicyForm = useForm<Values>({
    initialValues: {
      name: policy?.name ?? "",
      conditions: policy ? fieldsOf(policy.conditions) : { ...NO_CONDITIONS, zone: timeZone },
    },
    validate: {
      name: (value) => (value.trim() ? null : "Give it a name."),
      conditions: {
        sign_in_max_age_s: durationFault,
        mfa_max_age_s: durationFault,
        facts_max_age_s: durationFault,
      },
    },
  });
  const send = async ({ name, conditions }: Values) => {
    const body = { name, conditions: conditionsOf(conditions) };
    try {
      const made = policy ? await changePolicy(policy, body) : await createPolicy(body);
      await queryClient.invalidateQueries({ queryKey: ["policies"] });
      told(policy ? `${made.name} counts as it is now for all grants under it.` : `Grants can name ${made.name} now.`);
      if (!policy) await navigate({ to: `/policies/${made.id}` } as never);
    } catch (error) {
      const field = error instanceof ApiProblem && error.problem.field ? fieldAtFault(error.problem.field) : null;
      if (field) form.setFieldError(field, (error as ApiProblem).problem.detail);
      throw error;
    }
  };
  const stated = conditionTexts(conditionsOf(form.values.conditions));
  return (
    <FormDrawer
      opened={opened}
      onClose={onClose}
      title={policy ? `Change ${policy.name}` : "New policy"}
      verb={policy ? "Save policy" : "Create policy"}
      form={form}
      send={send}
    >
      {note}
      <TextInput label="Name" required data-autofocus {...form.getInputProps("name")} />
      <PersonFields form={form} />
      <DeviceFields form={form} />
      <PlaceFields form={form} />
      {form.errors.conditions && (
        <Alert color="red" variant="light" role="alert" title="These conditions are refused">
          {form.errors.conditions}
        </Alert>
      )}
      <Alert color="gate" variant="light" title="All of this must hold">
        {stated.join(" · ") || "Nothing yet: at least one condition must be there."}
        {policy && policy.grants > 0 && " Open connections that do not meet it any more are cut within a second."}
      </Alert>
    </FormDrawer>
  );
}

function PersonFields({ form }: { form: PolicyForm }) {
  return (
    <Fieldset legend="The person">
      <Group grow align="flex-start">
        <TextInput
          label="Signed in within"
          description="sign_in_max_age_s"
          placeholder="8h"
          {...form.getInputProps("conditions.sign_in_max_age_s")}
        />
        <TextInput
          label="Second factor within"
          description="mfa_max_age_s"
          placeholder="8h"
          {...form.getInputProps("conditions.mfa_max_age_s")}
        />
      </Group>
    </Fieldset>
  );
}

function DeviceFields({ form }: { form: PolicyForm }) {
  const { systems, disk_encrypted, firewall, client_min_version } = form.values.conditions;
  const reported = systems.length > 0 || disk_encrypted || firewall || client_min_version !== "";
  return (
    <Fieldset legend="The device">
      <Switch
        label="An administrator trusts it"
        {...form.getInputProps("conditions.device_trusted", { type: "checkbox" })}
      />
      <Switch
        mt="xs"
        label="Its disk is encrypted"
        {...form.getInputProps("conditions.disk_encrypted", { type: "checkbox" })}
      />
      <Switch
        mt="xs"
        label="Its packet filter has rules"
        {...form.getInputProps("conditions.firewall", { type: "checkbox" })}
      />
      <TagsInput
        mt="sm"
        label="Runs one of these systems"
        description="debian:12 or newer, linux:6.1 for the kernel, or a name alone."
        splitChars={[",", " "]}
        {...form.getInputProps("conditions.systems")}
      />
      <Group grow align="flex-start" mt="sm">
        <TextInput
          label="Client version or newer"
          placeholder="0.2"
          {...form.getInputProps("conditions.client_min_version")}
        />
        <TextInput
          label="Its report is at most so old"
          placeholder="1d"
          disabled={!reported}
          {...form.getInputProps("conditions.facts_max_age_s")}
        />
      </Group>
    </Fieldset>
  );
}

function PlaceFields({ form }: { form: PolicyForm }) {
  const zones = useMemo(() => [...new Set(["UTC", timeZone, ...Intl.supportedValuesOf("timeZone")])], []);
  return (
    <Fieldset legend="Place and time">
      <TagsInput
        label="From one of these addresses"
        description="As the controller sees the device: 192.0.2.0/24, 2001:db8::/32."
        splitChars={[",", " "]}
        {...form.getInputProps("conditions.sources")}
      />
      <WindowFields form={form} />
      {form.values.conditions.windows.length > 0 && (
        <Select
          mt="sm"
          label="Time zone"
          required
          searchable
          limit={80}
          data={zones}
          {...form.getInputProps("conditions.zone")}
        />
      )}
    </Fieldset>
  );
}
