import { expect, test } from "vitest";
import { containerName, waysOf } from "./commands";
import { stepsOf } from "./steps";

const NEW = { enrolled: false, online: false, relays: [], clock_offset_ms: null, software: "", hostname: "" };
const UP = { ...NEW, enrolled: true, online: true };
const RELAY = { fqdn: "relay.example.com", port: 8444, online: true, enrolled: true };
const KNOWN = {
  connector: NEW,
  relays: [RELAY],
  resources: 1,
  served_at: null,
  token_expires_at: "2026-11-22T13:00:00Z",
  waited_ms: 60_000,
  now_ms: Date.parse("2026-11-22T12:00:00Z"),
  controller: "controller.example.com:8443",
};
const states = (known: typeof KNOWN) => stepsOf(known).map(({ state }) => state);
const cause = (known: Parameters<typeof stepsOf>[0]) => stepsOf(known).find(({ state }) => state === "waiting")?.cause;

test("one step is waited for at a time", () => {
  expect(states(KNOWN)).toEqual(["waiting", "later", "later", "later"]);
  expect(states({ ...KNOWN, connector: UP })).toEqual(["done", "done", "waiting", "later"]);
});

test("a served connection ends the list", () => {
  const proved = {
    ...KNOWN,
    connector: { ...UP, relays: ["rel_a"] as never[] },
    served_at: "2026-11-22T12:00:00Z" as never,
  };
  expect(states(proved)).toEqual(["done", "done", "done", "done"]);
});

test("an expired token is told at once, an unused one after a while", () => {
  expect(cause({ ...KNOWN, waited_ms: 0 })).toBeUndefined();
  expect(cause(KNOWN)).toContain("controller.example.com:8443");
  expect(cause({ ...KNOWN, waited_ms: 0, token_expires_at: "2026-11-22T11:00:00Z" })).toContain("expired");
});

test("what keeps a connector from its relay is named by what is known", () => {
  expect(cause({ ...KNOWN, connector: UP, relays: [] })).toContain("no relay yet");
  expect(cause({ ...KNOWN, connector: UP, relays: [{ ...RELAY, online: false }] })).toContain("No relay is connected");
  expect(cause({ ...KNOWN, connector: UP })).toContain("relay.example.com:8444");
  expect(cause({ ...KNOWN, connector: { ...UP, clock_offset_ms: 41_000 } })).toContain("off by 41 s");
});

test("without a resource the last step asks for one", () => {
  expect(cause({ ...KNOWN, connector: { ...UP, relays: ["rel_a"] }, resources: 0 })).toContain("no resource yet");
});

test("the token goes through a pipe, as one word of the shell", () => {
  for (const { command } of waysOf("connector", "Büro; rm -rf /", "a'b")) {
    expect(command.startsWith("printf %s 'a'\\''b' | ")).toBe(true);
    expect(command).not.toContain("rm -rf /");
  }
});

test("names of containers are safe whatever the connector is called", () => {
  expect(containerName("connector", "Office 1")).toBe("ostiary-office-1");
  expect(containerName("connector", "\u202e<img>")).toBe("ostiary-img");
  expect(containerName("relay", "…")).toBe("ostiary-relay");
});
