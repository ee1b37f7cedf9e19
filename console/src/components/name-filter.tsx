import { TextInput } from "@mantine/core";
import { useFilters } from "~/components/search";

/** The filter of a list by a whole text, such as a name; it lives in the URL. */
export function NameFilter({ field = "name", label = "Name", placeholder = "The whole name" }) {
  const [filters, setFilters] = useFilters();
  const set = (value: string) => value !== (filters[field] ?? "") && setFilters({ [field]: value.trim() || null });
  return (
    <TextInput
      key={filters[field] ?? ""}
      label={label}
      placeholder={placeholder}
      defaultValue={filters[field]}
      onBlur={(event) => set(event.currentTarget.value)}
      onKeyDown={(event) => event.key === "Enter" && set(event.currentTarget.value)}
    />
  );
}
