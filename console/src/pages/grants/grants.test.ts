import { expect, test } from "vitest";
import { onlyBy } from "./queries";

test("whoever reaches it by another grant too keeps it", () => {
  const lines = [{ grants: ["a"] }, { grants: ["a", "b"] }, { grants: ["b"] }, { grants: [] }];
  expect(onlyBy("a", lines)).toEqual([{ grants: ["a"] }]);
});
