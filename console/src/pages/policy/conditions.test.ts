import { expect, test } from "vitest";
import {
  type Conditions,
  conditionsOf,
  conditionTexts,
  fieldAtFault,
  fieldsOf,
  NO_CONDITIONS,
  windowText,
} from "./conditions";

const ALL: Conditions = {
  sign_in_max_age_s: 28_800,
  mfa_max_age_s: 3_600,
  device_trusted: true,
  systems: [{ name: "debian", min_version: "12" }, { name: "linux" }],
  disk_encrypted: true,
  firewall: true,
  client_min_version: "0.2",
  facts_max_age_s: 7_200,
  sources: ["192.0.2.0/24", "2001:db8::/32"],
  hours: { zone: "Europe/Berlin", windows: [{ days: ["mon", "tue"], start: "08:00", end: "18:00" }] },
};

test("whatever the API says goes through the form unchanged", () => {
  expect(conditionsOf(fieldsOf(ALL))).toEqual(ALL);
});

test("what is empty is not asked for", () => {
  expect(conditionsOf({ ...NO_CONDITIONS, zone: "UTC" })).toEqual({});
});

test("every condition is told", () => {
  expect(conditionTexts(ALL)).toEqual([
    "signed in within 8h",
    "second factor within 1h",
    "trusted device",
    "runs debian 12+ or linux",
    "disk encrypted",
    "firewall on",
    "client 0.2 or newer",
    "reported within 2h",
    "from 192.0.2.0/24 or 2001:db8::/32",
    "mon, tue 08:00-18:00 (Europe/Berlin)",
  ]);
});

test("the age of reports is not told when no report counts", () => {
  expect(conditionTexts({ device_trusted: true, facts_max_age_s: 86_400 })).toEqual(["trusted device"]);
});

test.each([
  [["mon", "tue", "wed", "thu", "fri"], "mon-fri"],
  [["fri", "mon"], "mon, fri"],
  [["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "daily"],
] as const)("%j is %s", (days, text) => {
  expect(windowText({ days: [...days], start: "08:00", end: "18:00" })).toBe(`${text} 08:00-18:00`);
});

test.each([
  ["conditions.mfa_max_age_s", "conditions.mfa_max_age_s"],
  ["conditions.sources.1", "conditions.sources"],
  ["conditions.hours.zone", "conditions.zone"],
  ["conditions.hours.windows.0.end", "conditions.windows"],
  ["conditions.strange", null],
  ["name", null],
])("a refusal of %s lands on %s", (path, field) => expect(fieldAtFault(path)).toBe(field));
