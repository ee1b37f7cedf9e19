import { TextInput } from "@mantine/core";
import { useFilters } from "~/components/search";

/** A moment as `<input type="datetime-local">` has it, in the browser's zone; the URL holds RFC 3339 in UTC. */
export function localText(at: string | undefined): string {
  const moment = at ? new Date(at) : null;
  if (!moment || Number.isNaN(moment.getTime())) return "";
  const local = new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}

export function utcText(local: string): string | null {
  const moment = new Date(local);
  return local && !Number.isNaN(moment.getTime()) ? moment.toISOString() : null;
}

export function MomentFilter({ field, label }: { field: "since" | "until"; label: string }) {
  const [filters, setFilters] = useFilters();
  return (
    <TextInput
      type="datetime-local"
      label={label}
      value={localText(filters[field])}
      onChange={(event) => setFilters({ [field]: utcText(event.currentTarget.value) })}
    />
  );
}
