import { expect, test } from "vitest";
import { touchedBy } from "~/api/live";

test("an event makes the lists old that show what it is about, and the audit trail", () => {
  expect(touchedBy("grant.created")).toEqual(expect.arrayContaining(["grants", "access", "events", "summary"]));
  expect(touchedBy("service_account.created")).toContain("service-accounts");
  expect(touchedBy("sign_in.rules_changed")).toContain("sign-in-rules");
  expect(touchedBy("signing_key.activated")).toContain("keys");
});

test("an event of a kind that is not known makes its own plural old", () => {
  expect(touchedBy("identity_provider.changed")).toContain("identity-providers");
});
