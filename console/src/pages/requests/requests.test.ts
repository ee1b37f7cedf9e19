import { expect, test } from "vitest";
import { targetText } from "./queries";

test.each([
  ["db", null, "db"],
  ["db", 5432, "db:5432"],
  ["2001:db8::1", 22, "[2001:db8::1]:22"],
])("%s and %s are %s", (target, port, text) => expect(targetText({ target, port })).toBe(text));
