import { Alert, List, Switch, TagsInput, Text, TextInput } from "@mantine/core";
import type { GetInputPropsReturnType, UseFormReturnType } from "@mantine/form";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import type { Schemas } from "~/api/client";
import { problemOf } from "~/api/problem";
import { PageLink } from "~/components/links";
import { counted } from "~/components/words";
import { previewQuery } from "./queries";

interface AddressFieldProps {
  typed: string;
  field: GetInputPropsReturnType;
  /** The one that is being changed. */
  resource?: string;
}

/** The address, and what it would mean, as it is typed. */
export function AddressField({ typed, field, resource }: AddressFieldProps) {
  const [asked] = useDebouncedValue(typed.trim(), 300);
  const { data, error } = useQuery({
    ...previewQuery(asked, resource),
    enabled: asked !== "",
    placeholderData: keepPreviousData,
    retry: false,
  });
  return (
    <>
      <TextInput
        label="Address"
        description="A name, a wildcard such as *.dev.internal, an address or a CIDR."
        required
        {...field}
      />
      <div role="status" aria-label="What the address means">
        {asked === "" ? null : error ? (
          <Text size="sm">{problemOf(error).detail}</Text>
        ) : (
          data && <Preview preview={data} />
        )}
      </div>
    </>
  );
}

function meaning({ address, kind, first, last }: Schemas["AddressPreview"]): string {
  switch (kind) {
    case "name":
      return `The name ${address}, as the network's connectors resolve it.`;
    case "wildcard":
      return `Every name below ${address.slice(2)}, but not ${address.slice(2)} itself.`;
    case "address":
      return `The one address ${address}.`;
    case "network":
      return `All addresses from ${first} to ${last}.`;
  }
}

const RELATIONS: Record<Schemas["ResourceOverlap"]["relation"], string> = {
  same: "the same address",
  wider: "wider: this one decides, as the more specific",
  narrower: "within it: that one decides, as the more specific",
};

function Preview({ preview }: { preview: Schemas["AddressPreview"] }) {
  const { overlaps, overlaps_total } = preview;
  return (
    <>
      <Text size="sm" className="isolated">
        {meaning(preview)}
      </Text>
      {overlaps_total > 0 && (
        <Alert
          role="note"
          mt="xs"
          color="orange"
          variant="light"
          title={`${counted(overlaps_total, "other resource covers", "other resources cover")} some of it`}
        >
          <List size="sm">
            {overlaps.map(({ id, name, address, network_name, relation }) => (
              <List.Item key={id}>
                <PageLink c="inherit" underline="always" to={`/resources/${id}`}>
                  {name}
                </PageLink>
                <span className="isolated">{` (${address} in ${network_name}): `}</span>
                {RELATIONS[relation]}
              </List.Item>
            ))}
          </List>
        </Alert>
      )}
    </>
  );
}

interface PortsForm extends Record<string, unknown> {
  ports: { tcp: string[]; udp: string[]; icmp: boolean };
}

/** Ports as the API names them; its refusals name `ports.tcp.0`. */
export function PortFields<T extends PortsForm>({ form }: { form: UseFormReturnType<T> }) {
  return (
    <>
      <TagsInput
        label="TCP ports"
        description="Such as 443 or 8000-8100; all of them are 1-65535."
        splitChars={[",", " "]}
        {...form.getInputProps("ports.tcp")}
        error={form.errors.ports}
      />
      <TagsInput label="UDP ports" splitChars={[",", " "]} {...form.getInputProps("ports.udp")} />
      <Switch label="Answers ping" {...form.getInputProps("ports.icmp", { type: "checkbox" })} />
    </>
  );
}
