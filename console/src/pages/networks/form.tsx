import { TagsInput, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useNavigate } from "@tanstack/react-router";
import { type ReactNode, useEffect, useState } from "react";
import { idempotencyKey } from "~/api/client";
import { queryClient } from "~/api/queries";
import { FormDrawer } from "~/components/form-drawer";
import { told } from "~/components/notify";
import { changeNetwork, createNetwork, type Network } from "./queries";

interface NetworkDrawerProps {
  opened: boolean;
  onClose: () => void;
  /** Changes this one, as it was when the drawer was opened; without it a new one is made. */
  network?: Network;
  /** Stands above the fields. */
  note?: ReactNode;
}

/** Makes a network, or changes one. */
export function NetworkDrawer({ opened, onClose, network, note }: NetworkDrawerProps) {
  const navigate = useNavigate();
  const [key, setKey] = useState(idempotencyKey);
  const form = useForm({ initialValues: { name: "", egress_allow: [] as string[] } });
  const { setValues } = form;
  useEffect(() => {
    if (opened && network) setValues({ name: network.name, egress_allow: network.egress_allow });
  }, [opened, network, setValues]);
  const send = async (values: typeof form.values) => {
    const made = network ? await changeNetwork(network, values) : await createNetwork(values, key);
    setKey(idempotencyKey());
    await queryClient.invalidateQueries({ queryKey: ["networks"] });
    told(network ? `${made.name} is changed.` : `${made.name} is there; now it needs a connector.`);
    if (!network) await navigate({ to: `/networks/${made.id}` } as never);
  };
  return (
    <FormDrawer
      opened={opened}
      onClose={onClose}
      title={network ? "Edit network" : "New network"}
      verb={network ? "Save" : "Create network"}
      form={form}
      send={send}
    >
      {note}
      <TextInput label="Name" required data-autofocus {...form.getInputProps("name")} />
      <TagsInput
        label="Addresses that connectors may dial besides private ones"
        description="Loopback and link-local addresses are refused unless a CIDR here names them, such as 127.0.0.1/32."
        placeholder="CIDR"
        splitChars={[",", " "]}
        {...form.getInputProps("egress_allow")}
      />
    </FormDrawer>
  );
}
