import { Alert, List, NumberInput, Select, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useQuery } from "@tanstack/react-query";
import { queryClient } from "~/api/queries";
import { useMay } from "~/api/session";
import { FormDrawer } from "~/components/form-drawer";
import { told } from "~/components/notify";
import { counted, portsText } from "~/components/words";
import type { Plan } from "~/pages/plans/queries";
import { AddressField, PortFields } from "./fields";
import { changeResource, networksQuery, planOfChange, type Resource } from "./queries";

/** So many of each list are named; the rest is counted. */
const NAMED = 8;

interface EditDrawerProps {
  opened: boolean;
  onClose: () => void;
  /** As it was when the drawer was opened: whoever was quicker meanwhile is not overwritten, but told of (412). */
  resource: Resource;
}

/** Changes a resource, after the plan has said whom that touches. */
export function EditDrawer({ opened, onClose, resource }: EditDrawerProps) {
  const may = useMay();
  const { data: networks = [] } = useQuery({ ...networksQuery, enabled: opened && may("networks:read") });
  const { name, network, address, lease_s } = resource;
  const { tcp = [], udp = [], icmp = false } = resource.ports;
  const form = useForm({ initialValues: { name, network, address, ports: { tcp, udp, icmp }, lease_s } });
  const send = async (values: typeof form.values) => {
    const changed = await changeResource(resource, values);
    await Promise.all(["resources", "access"].map((key) => queryClient.invalidateQueries({ queryKey: [key] })));
    told(`${changed.name} is changed; open connections that it no longer covers are cut within a second.`);
  };
  const review = async (values: typeof form.values) => {
    const into = networks.find(({ id }) => id === values.network)?.name ?? values.network;
    return <Change plan={await planOfChange(resource, into, values)} renamed={values.name !== name} />;
  };
  return (
    <FormDrawer
      opened={opened}
      onClose={onClose}
      title={`Edit ${name}`}
      verb="Save resource"
      form={form}
      send={send}
      review={may("plans:write") ? review : undefined}
    >
      <TextInput label="Name" required data-autofocus {...form.getInputProps("name")} />
      {networks.length > 0 && (
        <Select
          label="Network"
          description="Its connectors dial the resource."
          required
          searchable
          allowDeselect={false}
          data={networks.map((item) => ({ value: item.id, label: item.name }))}
          {...form.getInputProps("network")}
        />
      )}
      <AddressField typed={form.values.address} field={form.getInputProps("address")} resource={resource.id} />
      <PortFields form={form} />
      <NumberInput
        label="Outlives the controller, in seconds"
        description="How long access goes on when the controller cannot be reached."
        min={30}
        max={86_400}
        {...form.getInputProps("lease_s")}
      />
      {!may("plans:write") && (
        <Text size="sm">Whom it touches is shown to those who may make plans (plans:write); it counts at once.</Text>
      )}
    </FormDrawer>
  );
}

/** What the plan says of the change, short enough for a drawer. */
export function Change({ plan, renamed }: { plan: Plan; renamed: boolean }) {
  const faults = [...plan.faults, ...plan.failed_tests];
  if (faults.length > 0) {
    return (
      <Alert role="note" color="red" variant="light" title="It will be refused">
        {faults.map(({ detail }) => detail).join(" ")}
      </Alert>
    );
  }
  const { gained, lost, cut } = plan.summary;
  const people = (count: number) => counted(count, "person or service account", "people and service accounts");
  const whole = plan.access.filter(({ device }) => device === null || device === undefined);
  const named = (lines: string[]) =>
    lines.length > NAMED ? [...lines.slice(0, NAMED), `${(lines.length - NAMED).toLocaleString("en")} more`] : lines;
  const lines = [
    `${people(lost)} will reach less, ${gained.toLocaleString("en")} will reach more.`,
    ...named(
      whole.map((line) => {
        const [less, more] = [portsText(line.lost), portsText(line.gained)];
        // The same ports elsewhere: what matters is where, which the detail says.
        const parts = [
          less !== more && less !== "nothing" && `loses ${less}`,
          less !== more && more !== "nothing" && `gains ${more}`,
          line.detail,
        ];
        return `${line.subject_name ?? line.subject}: ${parts.filter(Boolean).join(", ")}`;
      }),
    ),
    `${counted(cut, "open connection", "open connections")} will be cut within a second.`,
    ...named(
      plan.cut.map(({ subject, subject_name, host, transport, port }) =>
        [subject_name ?? subject, "→", host, transport, port].filter(Boolean).join(" "),
      ),
    ),
    ...(renamed ? ["Its grants stay with the new name."] : []),
  ];
  return (
    <Alert role="note" color={lost + cut > 0 ? "orange" : "gate"} variant="light" title="What it changes">
      <List size="sm">
        {lines.map((line) => (
          <List.Item key={line} className="isolated">
            {line}
          </List.Item>
        ))}
      </List>
    </Alert>
  );
}
