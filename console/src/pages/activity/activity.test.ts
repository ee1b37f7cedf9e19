import { expect, test } from "vitest";
import { targetText } from "./columns";
import { chainFaults, fieldsOf, hasInverse } from "./diff";
import { connectionQuery, exportUrl } from "./queries";

test("filters of the URL become those of the API, and nothing else does", () => {
  expect(connectionQuery({ user: "usr_a", denied: "true", open: "false", event: "7", since: "" })).toEqual({
    user: "usr_a",
    denied: true,
    open: false,
  });
});

test("an export has the filters of the page", () => {
  expect(exportUrl("connections", "csv", { outcome: "no_grant", tab: "x" })).toBe(
    "/api/v1/connections/export?format=csv&outcome=no_grant",
  );
  expect(exportUrl("events", "jsonl", { type: "grant.", denied: "true" })).toBe(
    "/api/v1/events/export?format=jsonl&type=grant.",
  );
});

test("a field that changed stands beside what it was", () => {
  const fields = fieldsOf({ data: { network: "net_a", name: "new" } }, [
    { data: { network: "net_a" } },
    { data: { network: "net_a", name: "old" } },
    { data: { network: "net_a", name: "older" } },
  ]);
  expect(fields).toEqual([
    { name: "network", before: null, after: "net_a", changed: false },
    { name: "name", before: "old", after: "new", changed: true },
  ]);
});

test("a gap in the positions is found", () => {
  expect(chainFaults([{ position: 5 }, { position: 4 }, { position: 3 }])).toEqual([]);
  expect(chainFaults([{ position: 5 }, { position: 3 }])).toEqual([3]);
});

test("addresses of IPv6 are told with their port apart", () => {
  expect(targetText({ host: "fd00::1", port: 443, transport: "tcp" })).toBe("[fd00::1]:443/tcp");
  expect(targetText({ host: "wiki", port: null, transport: "icmp" })).toBe("wiki (icmp)");
});

test("what can be taken back is told by the type, whatever its version", () => {
  expect(["grant.created/2", "grant.revoked/1", "policy.changed/7"].every(hasInverse)).toBe(true);
  expect(["resource.removed/1", "sign_in.succeeded/1", "grant"].some(hasInverse)).toBe(false);
});
