import { expect, test } from "vitest";

test("T-11: no page takes a secret from its address", () => {
  const sources = import.meta.glob<string>("../../**/*.tsx", { query: "?raw", import: "default", eager: true });
  const taken = /\{[^}]*\b(token|secret|password|code)\b[^}]*\}\s*=\s*useSearch/;
  expect(taken.test("const { token } = useSearch({ strict: false }) as { token?: unknown };")).toBe(true);
  expect(Object.entries(sources).flatMap(([path, text]) => (taken.test(text) ? [path] : []))).toEqual([]);
});
