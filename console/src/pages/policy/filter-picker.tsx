import { useFilters } from "~/components/search";
import type { Listed } from "./directory";
import { Picker } from "./pickers";

const PREFIXES: Partial<Record<Listed, string>> = { group: "grp_", user: "usr_", service_account: "svc_" };

interface FilterPickerProps {
  kind: Listed;
  label: string;
  /** The filter's name in the URL; several kinds may share one, as those who are granted something do. */
  field: string;
  placeholder?: string;
  /** Filters that a choice takes away. */
  clears?: string[];
}

/** A picker whose choice is a filter of the page. */
export function FilterPicker({ kind, label, field, placeholder = "All", clears = [] }: FilterPickerProps) {
  const [filters, setFilters] = useFilters();
  const value = filters[field];
  return (
    <Picker
      kind={kind}
      label={label}
      placeholder={placeholder}
      clearable
      value={value?.startsWith(PREFIXES[kind] ?? "") ? value : null}
      onChange={(id) => setFilters({ ...Object.fromEntries(clears.map((name) => [name, null])), [field]: id })}
    />
  );
}
