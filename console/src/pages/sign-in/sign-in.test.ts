import { expect, test } from "vitest";
import { ownPath } from "./sign-in";

test.each([
  ["/resources?name=wiki", "/resources?name=wiki"],
  ["https://evil.example/", "/"],
  ["//evil.example/", "/"],
  ["/\\evil.example/", "/"],
  ["/sign-in?next=/", "/"],
  [undefined, "/"],
])("%s leads to %s", (next, path) => {
  expect(ownPath(next)).toBe(path);
});
