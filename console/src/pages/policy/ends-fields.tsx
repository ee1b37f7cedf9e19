import { Checkbox, TextInput } from "@mantine/core";
import type { UseFormReturnType } from "@mantine/form";
import { momentOf } from "./durations";

interface Ends {
  expires: boolean;
  expires_at: string;
}

/** What a form holds of an end before anything is chosen. */
export const NO_END: Ends = { expires: false, expires_at: "" };

/** Why the chosen end is none, or null. */
export const endError = (value: string, { expires }: Ends) => (expires && !momentOf(value) ? "Say until when." : null);

/** The API's `expires_at` of what a form holds. */
export const endOf = ({ expires, expires_at }: Ends) => (expires ? (momentOf(expires_at) ?? null) : null);

/** The two fields that say whether, and when, something ends by itself. */
export function EndsFields<Values extends Ends>({ form }: { form: UseFormReturnType<Values> }) {
  return (
    <>
      <Checkbox label="It ends by itself" {...form.getInputProps("expires", { type: "checkbox" })} />
      {form.values.expires && (
        <TextInput
          type="datetime-local"
          label="Until"
          description="In your time zone."
          required
          {...form.getInputProps("expires_at")}
        />
      )}
    </>
  );
}
