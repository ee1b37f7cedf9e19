import { expect, test } from "vitest";
import { durationFault, durationText, localInput, momentOf, parseDuration } from "./durations";

test.each([
  ["8h", 28_800],
  ["90m", 5_400],
  ["1d 12h", 129_600],
  ["1.5h", 5_400],
  ["3600", 3_600],
  [" 7D ", 604_800],
])("%s is %i seconds", (text, seconds) => expect(parseDuration(text)).toBe(seconds));

test.each(["", "soon", "8 hours", "-1h", "h"])("%j is no length of time", (text) => {
  expect(parseDuration(text)).toBeUndefined();
});

test.each([60, 5_400, 28_800, 129_600, 90_061])("%i seconds read back as they were", (seconds) => {
  expect(parseDuration(durationText(seconds))).toBe(seconds);
});

test("an empty field has no fault, a strange one has", () => {
  expect(durationFault(" ")).toBeNull();
  expect(durationFault("soon")).not.toBeNull();
});

test("a moment goes through the browser's field and back", () => {
  const at = Date.UTC(2026, 10, 22, 13, 5);
  expect(momentOf(localInput(at))).toBe("2026-11-22T13:05:00.000Z");
  expect(momentOf("")).toBeUndefined();
});
