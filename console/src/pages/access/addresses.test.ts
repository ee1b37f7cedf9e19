import { expect, test } from "vitest";
import { bitsOf, covering, includesPort, parseTarget } from "./addresses";

const RESOURCES = ["*.corp.internal", "db.corp.internal", "10.0.0.0/8", "10.20.0.0/24", "2001:db8::/32"].map(
  (address) => ({ id: address, address }),
);
const found = (host: string) => covering(host, RESOURCES).map(({ id }) => id);

test("the narrowest resource comes first", () => {
  expect(found("db.corp.internal")).toEqual(["db.corp.internal", "*.corp.internal"]);
  expect(found("10.20.0.9")).toEqual(["10.20.0.0/24", "10.0.0.0/8"]);
});

test("a wildcard covers what is below it and not itself", () => {
  expect(found("a.b.corp.internal")).toEqual(["*.corp.internal"]);
  expect(found("corp.internal")).toEqual([]);
  expect(found("evilcorp.internal")).toEqual([]);
});

test("an address of version 6 is covered however it is written", () => {
  expect(found("2001:db8:0:0::1")).toEqual(["2001:db8::/32"]);
  expect(found("2001:db9::1")).toEqual([]);
});

test.each(["256.1.1.1", "1::2::3", "12345::", "wiki", "1:2:3"])("%s is no address", (text) => {
  expect(bitsOf(text)).toBeUndefined();
});

test.each([
  ["db.corp.internal:5432", "db.corp.internal", 5432],
  ["https://Wiki.corp.internal/x", "wiki.corp.internal", undefined],
  ["[2001:db8::1]:22", "2001:db8::1", 22],
  ["2001:db8::1", "2001:db8::1", undefined],
  ["db:99999", "db", undefined],
])("%s is %s and %s", (typed, host, port) => expect(parseTarget(typed)).toEqual({ host, port }));

test("nothing typed is no target", () => expect(parseTarget("  ")).toBeUndefined());

test("ports and ranges", () => {
  expect(includesPort(["443", "8000-8100"], 8050)).toBe(true);
  expect(includesPort(["443", "8000-8100"], 8101)).toBe(false);
});
