import { Select, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { queryClient } from "~/api/queries";
import { FormDrawer } from "~/components/form-drawer";
import { told } from "~/components/notify";
import { AddressField, PortFields } from "./fields";
import { createResource, networksQuery } from "./queries";

interface CreateDrawerProps {
  opened: boolean;
  onClose: () => void;
  network?: string;
}

/** Fields are named as in the API, `ports` as one: its refusals name `ports.tcp.0`. */
export function CreateDrawer({ opened, onClose, network }: CreateDrawerProps) {
  const navigate = useNavigate();
  const { data: networks = [] } = useQuery({ ...networksQuery, enabled: opened });
  const form = useForm({
    initialValues: {
      name: "",
      network: network ?? "",
      address: "",
      ports: { tcp: ["443"] as string[], udp: [] as string[], icmp: false },
    },
  });
  const send = async (values: typeof form.values) => {
    const made = await createResource(values);
    await queryClient.invalidateQueries({ queryKey: ["resources"] });
    told(`${made.name} can be granted now.`);
    await navigate({ to: `/resources/${made.id}` } as never);
  };
  return (
    <FormDrawer opened={opened} onClose={onClose} title="New resource" verb="Create resource" form={form} send={send}>
      <TextInput label="Name" required data-autofocus {...form.getInputProps("name")} />
      <Select
        label="Network"
        description="Its connectors dial the resource."
        required
        searchable
        data={networks.map(({ id, name }) => ({ value: id, label: name }))}
        {...form.getInputProps("network")}
      />
      <AddressField typed={form.values.address} field={form.getInputProps("address")} />
      <PortFields form={form} />
    </FormDrawer>
  );
}
