import { Select, type SelectProps } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, call } from "~/api/client";
import { type Entry, type Listed, type SubjectKind, useEntries } from "./directory";
import { KIND_WORDS } from "./names";

interface PickerProps extends Omit<SelectProps, "data" | "value" | "onChange"> {
  kind: Listed;
  value?: string | null;
  onChange?: (id: string | null) => void;
}

const optionOf = ({ id, label, hint }: Entry) => ({
  value: id,
  label: hint && hint !== label ? `${label} · ${hint}` : label,
});

/** Chooses one thing by its name. What is not among the first thousand is found by its whole name or address. */
export function Picker({ kind, value, onChange, ...rest }: PickerProps) {
  const { entries } = useEntries(kind);
  const [typed, setTyped] = useState("");
  const [asked] = useDebouncedValue(typed.trim(), 300);
  const { data: found } = useQuery({
    queryKey: [`${kind}-search`, asked],
    queryFn: () => searchExactly(kind, asked),
    enabled: asked.length > 1 && !entries.some(({ label, hint }) => `${label} ${hint ?? ""}`.includes(asked)),
    retry: false,
  });
  const all = [...entries, ...(found ?? []).filter(({ id }) => !entries.some((entry) => entry.id === id))];
  const unknown = value && !all.some(({ id }) => id === value) ? [{ value, label: value }] : [];
  return (
    <Select
      searchable
      limit={50}
      nothingFoundMessage="Nothing of this name"
      data={[...all.map(optionOf), ...unknown]}
      value={value || null}
      onChange={(id) => onChange?.(id)}
      onSearchChange={setTyped}
      clearButtonProps={{ "aria-label": `Clear ${String(rest.label ?? "choice").toLowerCase()}` }}
      {...rest}
    />
  );
}

async function searchExactly(kind: Listed, name: string): Promise<Entry[]> {
  const query = { name, limit: 5 };
  switch (kind) {
    case "user": {
      const { items } = await call(api.GET("/api/v1/users", { params: { query: { email: name, limit: 5 } } }));
      return items.map(({ id, name: label, email }) => ({
        id,
        kind,
        label: label || email || id,
        ...(email && { hint: email }),
      }));
    }
    case "group":
      return named(kind, (await call(api.GET("/api/v1/groups", { params: { query } }))).items);
    case "service_account":
      return named(kind, (await call(api.GET("/api/v1/service-accounts", { params: { query } }))).items);
    case "resource":
      return named(kind, (await call(api.GET("/api/v1/resources", { params: { query } }))).items);
    case "policy":
      return named(kind, (await call(api.GET("/api/v1/policies", { params: { query } }))).items);
    default:
      return [];
  }
}

function named(kind: Listed, items: { id: string; name: string }[]): Entry[] {
  return items.map(({ id, name }) => ({ id, kind, label: name }));
}

const SUBJECT_KINDS: SubjectKind[] = ["group", "user", "service_account"];

interface SubjectFieldsProps {
  kind: SubjectKind;
  setKind: (kind: SubjectKind) => void;
  subject: PickerProps["value"];
  setSubject: (id: string | null) => void;
  kindError?: React.ReactNode;
  subjectError?: React.ReactNode;
}

/** The two fields of the API that say who: `subject_kind` and `subject`. */
export function SubjectFields({ kind, setKind, subject, setSubject, kindError, subjectError }: SubjectFieldsProps) {
  return (
    <>
      <Select
        label="Kind of subject"
        name="subject_kind"
        data={SUBJECT_KINDS.map((value) => ({ value, label: KIND_WORDS[value] }))}
        allowDeselect={false}
        value={kind}
        onChange={(value) => {
          setKind((value as SubjectKind | null) ?? "group");
          setSubject(null);
        }}
        error={kindError}
      />
      <Picker
        kind={kind}
        label={KIND_WORDS[kind]}
        name="subject"
        required
        data-autofocus
        value={subject ?? null}
        onChange={setSubject}
        error={subjectError}
      />
    </>
  );
}
