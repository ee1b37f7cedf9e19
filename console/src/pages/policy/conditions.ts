import type { Schemas } from "~/api/client";
import { durationText, parseDuration } from "./durations";

export type Conditions = Schemas["Conditions"];
export type Day = "mon" | "tue" | "wed" | "thu" | "fri" | "sat" | "sun";
export const DAYS: readonly Day[] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/** "mon-fri 08:00-18:00" */
export function windowText({ days, start, end }: Schemas["Window"]): string {
  return `${daysText(days)} ${start}-${end}`;
}

function daysText(days: readonly Day[]): string {
  const indexes = DAYS.flatMap((day, index) => (days.includes(day) ? [index] : []));
  const first = indexes[0];
  const last = indexes.at(-1);
  if (first === undefined || last === undefined) return "never";
  if (indexes.length === DAYS.length) return "daily";
  if (indexes.length > 2 && last - first === indexes.length - 1) return `${DAYS[first]}-${DAYS[last]}`;
  return indexes.map((index) => DAYS[index]).join(", ");
}

/** Each condition as a short sentence; the order is that of the API. */
export function conditionTexts(conditions: Conditions): string[] {
  const { sign_in_max_age_s: signIn, mfa_max_age_s: mfa, systems = [], sources = [], hours } = conditions;
  const reported =
    conditions.disk_encrypted || conditions.firewall || systems.length > 0 || conditions.client_min_version;
  return [
    signIn != null && `signed in within ${durationText(signIn)}`,
    mfa != null && `second factor within ${durationText(mfa)}`,
    conditions.device_trusted && "trusted device",
    systems.length > 0 && `runs ${systems.map(systemText).join(" or ")}`,
    conditions.disk_encrypted && "disk encrypted",
    conditions.firewall && "firewall on",
    conditions.client_min_version && `client ${conditions.client_min_version} or newer`,
    reported && `reported within ${durationText(conditions.facts_max_age_s ?? 86_400)}`,
    sources.length > 0 && `from ${sources.join(" or ")}`,
    hours && `${hours.windows.map(windowText).join(" or ")} (${hours.zone})`,
  ].filter((text): text is string => Boolean(text));
}

export function systemText({ name, min_version: version }: Schemas["System"]): string {
  return version ? `${name} ${version}+` : name;
}

/** What the form holds: text where somebody types, so that nothing that was typed is lost. */
export interface ConditionFields {
  sign_in_max_age_s: string;
  mfa_max_age_s: string;
  device_trusted: boolean;
  systems: string[];
  disk_encrypted: boolean;
  firewall: boolean;
  client_min_version: string;
  facts_max_age_s: string;
  sources: string[];
  zone: string;
  windows: Schemas["Window"][];
}

export const NO_CONDITIONS: ConditionFields = {
  sign_in_max_age_s: "",
  mfa_max_age_s: "",
  device_trusted: false,
  systems: [],
  disk_encrypted: false,
  firewall: false,
  client_min_version: "",
  facts_max_age_s: "",
  sources: [],
  zone: "",
  windows: [],
};

export function fieldsOf(conditions: Conditions): ConditionFields {
  const age = (seconds: number | null | undefined) => (seconds == null ? "" : durationText(seconds));
  return {
    sign_in_max_age_s: age(conditions.sign_in_max_age_s),
    mfa_max_age_s: age(conditions.mfa_max_age_s),
    device_trusted: conditions.device_trusted ?? false,
    systems: (conditions.systems ?? []).map(({ name, min_version: v }) => (v ? `${name}:${v}` : name)),
    disk_encrypted: conditions.disk_encrypted ?? false,
    firewall: conditions.firewall ?? false,
    client_min_version: conditions.client_min_version ?? "",
    facts_max_age_s: age(conditions.facts_max_age_s),
    sources: conditions.sources ?? [],
    zone: conditions.hours?.zone ?? "",
    windows: conditions.hours?.windows ?? [],
  };
}

/** The API's form of it. What is empty is left out: it is not asked for. */
export function conditionsOf(fields: ConditionFields): Conditions {
  const age = (text: string) => parseDuration(text) ?? null;
  const facts = parseDuration(fields.facts_max_age_s);
  return {
    ...(fields.sign_in_max_age_s.trim() && { sign_in_max_age_s: age(fields.sign_in_max_age_s) }),
    ...(fields.mfa_max_age_s.trim() && { mfa_max_age_s: age(fields.mfa_max_age_s) }),
    ...(fields.device_trusted && { device_trusted: true }),
    ...(fields.systems.length > 0 && { systems: fields.systems.map(systemOf) }),
    ...(fields.disk_encrypted && { disk_encrypted: true }),
    ...(fields.firewall && { firewall: true }),
    ...(fields.client_min_version.trim() && { client_min_version: fields.client_min_version.trim() }),
    ...(facts !== undefined && { facts_max_age_s: facts }),
    ...(fields.sources.length > 0 && { sources: fields.sources }),
    ...(fields.windows.length > 0 && { hours: { zone: fields.zone, windows: fields.windows } }),
  } as Conditions;
}

/** "debian:12" */
function systemOf(typed: string): Schemas["System"] {
  const [name = "", version = ""] = typed.split(":", 2).map((part) => part.trim());
  return version ? { name, min_version: version } : { name };
}

/** The form's field that the API means: `conditions.hours.windows.0.end` is `conditions.windows`. */
export function fieldAtFault(path: string): string | null {
  const [root, name, part] = path.split(".");
  if (root !== "conditions" || name === undefined) return null;
  if (name !== "hours") return name in NO_CONDITIONS ? `conditions.${name}` : null;
  return part === "zone" ? "conditions.zone" : "conditions.windows";
}
